"""Cubes, spheres and cylinders that stand on the plane z = 0, and where rays meet them: exact."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

SHAPES = ("cube", "sphere", "cylinder")
CUBE, SPHERE, CYLINDER = range(3)
MISSED = 1e9
"""The distance of what a ray does not meet."""

_NEAREST = 1e-3
_REACH = (3**0.5, 1.0, 2**0.5)
_Vector = tuple[Tensor, Tensor, Tensor]


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
    for shape, cross in enumerate((_cross_cube, _cross_sphere, _cross_cylinder)):
        which = (solids.shape == shape).nonzero().flatten()
        some = solids.take(which)
        enters, leaves = cross(
            _own_point(origins.index_select(0, which), some),
            _own_direction(directions.index_select(0, which), some),
        )
        first = torch.where(enters > _NEAREST, enters, leaves)
        met = (enters <= leaves) & (leaves > _NEAREST)
        met_at = torch.where(met, first * some.size[:, None], MISSED)
        distances.index_copy_(0, which, met_at)
    return distances


def normals(points: Tensor, solids: Solids) -> Tensor:
    """Unit normals (N, R, 3) that look outward at points (N, R, 3) on the surface of each solid.

    Of the side that a solid stands on there is none: nobody sees it.
    """
    x, y, z = _own_point(points, solids)
    z = z.clamp(min=-0.99)
    at = torch.stack([x, y, z], -1)
    face = (at.abs() == at.abs().amax(-1, keepdim=True)) * at.sign()
    on_top = (z > torch.hypot(x, y))[..., None]
    round_ = torch.where(on_top, torch.tensor([0.0, 0.0, 1.0]), at * torch.tensor([1.0, 1.0, 0.0]))
    shape = solids.shape[:, None, None]
    own = torch.where(shape == SPHERE, at, torch.where(shape == CUBE, face, round_))
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


def _cross_cube(origin: _Vector, along: _Vector) -> tuple[Tensor, Tensor]:
    """Where rays enter and leave, here and below; what is missed is left before it is entered."""
    slabs = [_slab(o, d) for o, d in zip(origin, along, strict=True)]
    enters = slabs[0][0].maximum(slabs[1][0]).maximum(slabs[2][0])
    return enters, slabs[0][1].minimum(slabs[1][1]).minimum(slabs[2][1])


def _cross_sphere(origin: _Vector, along: _Vector) -> tuple[Tensor, Tensor]:
    half = origin[0] * along[0] + origin[1] * along[1] + origin[2] * along[2]
    outside = origin[0] ** 2 + origin[1] ** 2 + origin[2] ** 2 - 1
    return _roots(half, half * half - outside)


def _cross_cylinder(origin: _Vector, along: _Vector) -> tuple[Tensor, Tensor]:
    across = (along[0] ** 2 + along[1] ** 2).clamp(min=1e-9)
    half = (origin[0] * along[0] + origin[1] * along[1]) / across
    enters, leaves = _roots(half, half * half - (origin[0] ** 2 + origin[1] ** 2 - 1) / across)
    low, high = _slab(origin[2], along[2])
    return low.maximum(enters), high.minimum(leaves)


def _roots(half: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    root = inside.clamp(min=0).sqrt()
    return torch.where(inside >= 0, -half - root, MISSED), -half + root


def _slab(origin: Tensor, along: Tensor) -> tuple[Tensor, Tensor]:
    """Between which distances a ray is between −1 and 1 on one axis."""
    inverse = 1 / torch.where(along.abs() < 1e-9, 1e-9, along)
    low, high = (-1 - origin) * inverse, (1 - origin) * inverse
    return low.minimum(high), low.maximum(high)
