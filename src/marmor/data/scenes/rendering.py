"""Pictures of solids on a table: rays that meet exact surfaces, nine a pixel where there are edges."""

import math
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from marmor.data.scenes.camera import Views, project, rays, shown_reach
from marmor.data.scenes.shading import Surface, gloss, lit, matt, openness, with_others
from marmor.data.scenes.solids import MISSED, Solids, meet, normals

COLOURS = {
    "gray": (87, 87, 87),
    "red": (173, 35, 35),
    "blue": (42, 75, 215),
    "green": (29, 105, 20),
    "brown": (129, 74, 25),
    "purple": (129, 38, 192),
    "cyan": (41, 208, 208),
    "yellow": (255, 238, 51),
}
"""CLEVR's colours (Johnson et al. 2017), sRGB in 0 … 255."""
MORE_COLOURS = {
    "orange": (240, 130, 25),
    "pink": (250, 150, 190),
    "lime": (160, 225, 40),
    "teal": (20, 120, 115),
    "azure": (70, 155, 245),
    "magenta": (215, 40, 160),
    "maroon": (95, 15, 35),
    "olive": (125, 120, 25),
}
"""Others between them, in the same numbers."""
LEVELS = range(20, 256, 32)
NAMELESS = {f"paint{k}": paint for k, paint in enumerate(product(LEVELS, repeat=3))}
"""Colours that no sentence names, evenly over all there are; sRGB again."""
NAMED = {**COLOURS, **MORE_COLOURS}
PAINTS = {**NAMED, **NAMELESS}
TABLE = (0.33, 0.325, 0.32)
"""Linear reflectance."""
FINE = 3
"""Samples of a pixel along each side."""


@dataclass(frozen=True)
class Samples:
    """Samples of the pictures around each of N solids.

    ``place``: int64 (N, R), among all samples of S pictures, those of a pixel side by side;
    ``direction``: (N, R, 3) of the ray; ``distance``: (N, R) to the solid; ``seen``: bool (N, R), whether
    it meets the solid and nothing nearer.
    """

    place: Tensor
    direction: Tensor
    distance: Tensor
    seen: Tensor

    def seen_shares(self) -> Tensor:
        """(N,): how much of what each solid would show alone is not hidden by others."""
        return self.seen.sum(1) / (self.distance < MISSED).sum(1).clamp(min=1)


def sample(solids: Solids, views: Views, side: int) -> Samples:
    """Rays through a window around each solid, with what hides it found out."""
    eye = views.eye[solids.scene]
    middles = (project(solids.centres, eye) + 1) * side / 2
    reach = shown_reach(solids.reach, solids.centres, eye).max().item() * side / 2
    window = min(side, 2 * math.ceil(reach) + 2)
    corners = (middles - window / 2).round().clamp(0, side - window).long()
    steps = torch.arange(window)
    columns, rows = corners[:, :1] + steps, corners[:, 1:] + steps
    pixels = (solids.scene[:, None, None] * side + rows[:, :, None]) * side + columns[:, None]
    place = (pixels[..., None] * FINE**2 + torch.arange(FINE**2)).flatten(1)
    inside = (torch.arange(FINE) + 0.5) / FINE
    across, down = ((v[..., None] + inside) / side * 2 - 1 for v in (columns, rows))
    across, down = torch.broadcast_tensors(across[:, None, :, None, :], down[:, :, None, :, None])
    direction = rays(eye, torch.stack([across, down], -1).flatten(1, 4))
    distance = meet(eye[:, None], direction, solids)
    nearest = torch.full((len(views.eye) * (side * FINE) ** 2,), MISSED)
    nearest.scatter_reduce_(0, place.flatten(), distance.flatten(), "amin")
    seen = (distance < MISSED) & (distance == nearest[place])
    return Samples(place, direction, distance, seen)


@torch.inference_mode()
def render(solids: Solids, colours: Tensor, views: Views, side: int) -> Tensor:
    """uint8 (S, 3, side, side) sRGB. ``colours``: int64 (N,), places in PAINTS; every scene has a solid."""
    samples = sample(solids, views, side)
    pixel = samples.place[samples.seen] // FINE**2
    light = _light_of_solids(solids, colours, views, samples)
    share = torch.full((len(pixel),), 1 / FINE**2)
    picture = _light_of_table(solids, views, side)
    covered = torch.zeros(len(picture)).index_add_(0, pixel, share)
    picture *= 1 - covered[:, None]
    picture.index_add_(0, pixel, light * share[:, None])
    encoded = _srgb(picture).mul(255).round().to(torch.uint8)
    return encoded.view(len(views.eye), side, side, 3).permute(0, 3, 1, 2).contiguous()


def _light_of_table(solids: Solids, views: Views, side: int) -> Tensor:
    """Linear light at the middle of each pixel, (S · side², 3)."""
    middles = (torch.arange(side) + 0.5) / side * 2 - 1
    down, across = torch.meshgrid(middles, middles, indexing="ij")
    direction = rays(views.eye, torch.stack([across, down], -1).view(1, -1, 2))
    eye = views.eye[:, None]
    points = (eye - direction * eye[..., 2:] / direction[..., 2:]).flatten(0, 1)
    scene = torch.arange(len(views.eye)).repeat_interleave(side**2)
    upward = torch.tensor([0.0, 0.0, 1.0]).expand_as(points)
    surface = Surface(points, upward, scene, torch.full_like(scene, -1))
    others = with_others(surface, solids)
    lamp, sky = lit(surface, others, solids, views), openness(surface, others, solids)
    light = matt(surface, views, lamp, sky)
    return torch.tensor(TABLE) * light[:, None]


def _light_of_solids(solids: Solids, colours: Tensor, views: Views, samples: Samples) -> Tensor:
    """Linear light of every seen sample, (P, 3)."""
    solid = samples.seen.nonzero()[:, 0]
    direction = samples.direction[samples.seen]
    scene = solids.scene[solid]
    start = views.eye.index_select(0, scene)
    points = start + direction * samples.distance[samples.seen][:, None]
    facing = normals(points[:, None], solids.take(solid))[:, 0]
    surface = Surface(points, facing, scene, solid)
    # The table hides some of the sky from what stands on it, more of it further down.
    low = 0.55 + 0.45 * (points[:, 2] / 0.5).clamp(0, 1)
    lamp = lit(surface, with_others(surface, solids, rings=True), solids, views)
    sky = openness(surface, with_others(surface, solids), solids) * low
    coloured = _reflectances()[colours[solid]] * matt(surface, views, lamp, sky)[:, None]
    return coloured + gloss(surface, views, direction, lamp, sky)[:, None]


def _reflectances() -> Tensor:
    """Of PAINTS, linear, (528, 3)."""
    value = torch.tensor(list(PAINTS.values())) / 255
    return torch.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _srgb(light: Tensor) -> Tensor:
    """Linear light → sRGB in [0, 1], with a soft shoulder for what is too bright."""
    shown = (light / (1 + 0.15 * light)).clamp(0, 1)
    bright = 1.055 * shown.clamp(min=1e-6) ** (1 / 2.4) - 0.055
    return torch.where(shown <= 0.0031308, 12.92 * shown, bright)
