"""Solids that stand on the plane z = 0, and where rays meet them: exact.

In its own frame, with half its height as the unit, a cone narrows from radius 1 at z = −1 to its tip at
z = 1. A ring is what a narrower cylinder leaves of a flat one: radii HOLE to 1, z from −1 to RIM.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

SHAPES = ("cube", "sphere", "cylinder", "cone", "ring")
"""i-CLEVR's three first, so that its objects keep their places; a cone and a ring are marmor's own."""
CUBE, SPHERE, CYLINDER, CONE, RING = range(5)
HOLE, RIM = 0.55, -0.3
"""Radius of a ring's hole, and where its upper side lies."""
MISSED = 1e9
"""The distance of what a ray does not meet."""

_NEAREST = 1e-3
_REACH = (3**0.5, 1.0, 2**0.5, 2**0.5, 2**0.5)
_Vector = tuple[Tensor, Tensor, Tensor]
_Spans = list[tuple[Tensor, Tensor]]
"""Where rays enter and leave, one pair for each convex part; what is missed is left before it is entered."""


@dataclass(frozen=True)
class Solids:
    """N solids of several scenes, sorted by scene.

    ``scene``: int64 (N,), which scene each is in; ``shape``: int64 (N,), places in SHAPES.
    ``x``, ``y``: (N,), where it stands; ``turn``: (N,), radians about its upright axis.
    ``size``: (N,), half its height, and for round ones their radius.
    """

    scene: Tensor
    shape: Tensor
    x: Tensor
    y: Tensor
    turn: Tensor
    size: Tensor

    def take(self, which: Tensor) -> "Solids":
        """The solids at these places, int64 (M,)."""
        # index_select is several times faster than indexing with brackets.
        return Solids(*(getattr(self, field.name).index_select(0, which) for field in fields(self)))

    @property
    def centres(self) -> Tensor:
        """(N, 3)."""
        return torch.stack([self.x, self.y, self.size], 1)

    @property
    def reach(self) -> Tensor:
        """How far from its centre the surface of each one lies at most, (N,)."""
        return torch.tensor(_REACH)[self.shape] * self.size


def meet(origins: Tensor, directions: Tensor, solids: Solids) -> Tensor:
    """Distances (N, R) at which each solid's own rays first meet its surface; MISSED where they do not.

    ``directions``: (N, R, 3) of length 1; ``origins``: (N, R, 3) or (N, 1, 3).
    """
    distances = torch.full(directions.shape[:2], MISSED)
    crossings = (_cross_cube, _cross_sphere, _cross_cylinder, _cross_cone, _cross_ring)
    for shape, cross in enumerate(crossings):
        which = (solids.shape == shape).nonzero().flatten()
        if not len(which):
            continue
        some = solids.take(which)
        spans = cross(
            _own_point(origins.index_select(0, which), some),
            _own_direction(directions.index_select(0, which), some),
        )
        met_at = torch.stack([_first(enters, leaves) for enters, leaves in spans]).amin(0)
        met_at = torch.where(met_at < MISSED, met_at * some.size[:, None], MISSED)
        distances.index_copy_(0, which, met_at)
    return distances


def _first(enters: Tensor, leaves: Tensor) -> Tensor:
    """Where a ray first meets the surface of a convex part; MISSED where it does not."""
    first = torch.where(enters > _NEAREST, enters, leaves)
    return torch.where((enters <= leaves) & (leaves > _NEAREST), first, MISSED)


def normals(points: Tensor, solids: Solids) -> Tensor:
    """Unit normals (N, R, 3) that look outward at points (N, R, 3) on the surface of each solid.

    Of the side that a solid stands on there is none: nobody sees it.
    """
    x, y, z = _own_point(points, solids)
    z = z.clamp(min=-0.99)
    at = torch.stack([x, y, z], -1)
    face = (at.abs() == at.abs().amax(-1, keepdim=True)) * at.sign()
    upward = torch.tensor([0.0, 0.0, 1.0])
    outward = at * torch.tensor([1.0, 1.0, 0.0])
    wide = torch.hypot(x, y)[..., None]
    own = torch.where((z > wide[..., 0])[..., None], upward, outward)  # a cylinder's
    shape = solids.shape[:, None, None]
    own = torch.where(shape == CUBE, face, torch.where(shape == SPHERE, at, own))
    # The side of a cone falls by 2 over a radius of 1, so that it looks up by half of what it looks outward.
    own = torch.where(shape == CONE, outward + upward * wide / 2, own)
    own = torch.where(shape == RING, _ring_normal(outward, upward, wide, z[..., None]), own)
    own = own / own.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    cos, sin = solids.turn.cos()[:, None], solids.turn.sin()[:, None]
    x, y, z = own.unbind(-1)
    return torch.stack([cos * x - sin * y, sin * x + cos * y, z], -1)


def _own_point(points: Tensor, solids: Solids) -> _Vector:
    """In the solid's frame: its centre, its turn, half its height as the unit."""
    size = solids.size[:, None]
    x, y = points[..., 0] - solids.x[:, None], points[..., 1] - solids.y[:, None]
    cos, sin = solids.turn.cos()[:, None] / size, solids.turn.sin()[:, None] / size
    return cos * x + sin * y, cos * y - sin * x, points[..., 2] / size - 1


def _own_direction(directions: Tensor, solids: Solids) -> _Vector:
    cos, sin = solids.turn.cos()[:, None], solids.turn.sin()[:, None]
    x, y, z = directions.unbind(-1)
    return cos * x + sin * y, cos * y - sin * x, z


def _ring_normal(outward: Tensor, upward: Tensor, wide: Tensor, z: Tensor) -> Tensor:
    """Of the side that a point lies on or nearest to: upper, outer, or that of the hole."""
    apart = torch.cat([(RIM - z).abs(), (1 - wide).abs(), (wide - HOLE).abs()], -1)
    side = apart.argmin(-1, keepdim=True)
    return torch.where(side == 0, upward, torch.where(side == 1, outward, -outward))


def _cross_cube(origin: _Vector, along: _Vector) -> _Spans:
    slabs = [_slab(o, d) for o, d in zip(origin, along, strict=True)]
    enters = slabs[0][0].maximum(slabs[1][0]).maximum(slabs[2][0])
    return [(enters, slabs[0][1].minimum(slabs[1][1]).minimum(slabs[2][1]))]


def _cross_sphere(origin: _Vector, along: _Vector) -> _Spans:
    half = origin[0] * along[0] + origin[1] * along[1] + origin[2] * along[2]
    outside = origin[0] ** 2 + origin[1] ** 2 + origin[2] ** 2 - 1
    return [_roots(half, half * half - outside)]


def _cross_cylinder(origin: _Vector, along: _Vector) -> _Spans:
    enters, leaves = _cross_column(origin, along, 1.0)
    low, high = _slab(origin[2], along[2])
    return [(low.maximum(enters), high.minimum(leaves))]


def _cross_cone(origin: _Vector, along: _Vector) -> _Spans:
    """Inside is where 4 (x² + y²) ≤ (1 − z)² and z ≥ −1; the mirror image above the tip is cut off."""
    # From where the ray comes nearest to the centre: from afar, rounding would eat the difference of squares.
    nearest = -(origin[0] * along[0] + origin[1] * along[1] + origin[2] * along[2])
    x, y, z = (o + nearest * d for o, d in zip(origin, along, strict=True))
    below = 1 - z
    steep = 4 * (along[0] ** 2 + along[1] ** 2) - along[2] ** 2
    steep = torch.where(steep.abs() < 1e-6, 1e-6, steep)
    half = (4 * (x * along[0] + y * along[1]) + below * along[2]) / steep
    outside = (4 * (x**2 + y**2) - below**2) / steep
    near, far = _roots(half, half * half - outside)
    # A ray steeper than the side crosses both halves: it is inside before the one root and after the other.
    falls = along[2] < 0
    enters = torch.where(steep > 0, near, torch.where(falls, far, -MISSED))
    leaves = torch.where(steep > 0, far, torch.where(falls, MISSED, near))
    low, high = _slab(origin[2], along[2])
    return [(low.maximum(enters + nearest), high.minimum(leaves + nearest))]


def _cross_ring(origin: _Vector, along: _Vector) -> _Spans:
    """What is left before the hole and after it."""
    enters, leaves = _cross_column(origin, along, 1.0)
    low, high = _slab(origin[2], along[2], RIM)
    enters, leaves = low.maximum(enters), high.minimum(leaves)
    into, out = _cross_column(origin, along, HOLE)
    return [(enters, leaves.minimum(into)), (enters.maximum(out), leaves)]


def _cross_column(origin: _Vector, along: _Vector, radius: float) -> tuple[Tensor, Tensor]:
    """Of a round column without ends."""
    across = (along[0] ** 2 + along[1] ** 2).clamp(min=1e-9)
    half = (origin[0] * along[0] + origin[1] * along[1]) / across
    outside = (origin[0] ** 2 + origin[1] ** 2 - radius**2) / across
    return _roots(half, half * half - outside)


def _roots(half: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    root = inside.clamp(min=0).sqrt()
    return torch.where(inside >= 0, -half - root, MISSED), -half + root


def _slab(origin: Tensor, along: Tensor, top: float = 1.0) -> tuple[Tensor, Tensor]:
    """Between which distances a ray is between −1 and ``top`` on one axis."""
    inverse = 1 / torch.where(along.abs() < 1e-9, 1e-9, along)
    low, high = (-1 - origin) * inverse, (top - origin) * inverse
    return low.minimum(high), low.maximum(high)
