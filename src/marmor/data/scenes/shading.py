"""Light on surfaces: a lamp with soft shadows, two soft lights, a sky that neighbours hide, gloss."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from marmor.data.scenes.camera import Views
from marmor.data.scenes.solids import MISSED, RING, Solids, meet

LAMP_POINTS, LAMP_RADIUS = 12, 1.1
"""Shadows are as many hard ones, from points on a disc, added."""
LAMP = 99.0
"""Its light at distance 1."""
SOFT_LIGHTS = ((0.28, (0.8, -0.5, 0.5)), (0.25, (-0.2, 0.9, 0.6)))
"""Strength and direction; they cast no shadows."""
SKY = 0.30
HIDES, RING_HIDES = 0.9, 0.6
"""Of the sky behind the ball that stands for a solid; from within a ring's hole 0.4 of it are seen."""


@dataclass(frozen=True)
class Surface:
    """P points of what scenes show, which way they look, and what they belong to.

    ``points``, ``facing``: (P, 3); ``scene``: int64 (P,); ``solid``: int64 (P,), -1 for the table.
    """

    points: Tensor
    facing: Tensor
    scene: Tensor
    solid: Tensor


class Others(NamedTuple):
    """Points of a surface paired with solids of their scenes: int64 (Q,) each, places of both."""

    point: Tensor
    solid: Tensor


def with_others(surface: Surface, solids: Solids, rings: bool = False) -> Others:
    """Every point with every other solid of its scene: places of both.

    ``rings``: those of a ring with itself too, since it alone can stand in its own light.
    """
    counts = torch.bincount(solids.scene, minlength=int(surface.scene.max()) + 1)
    first = counts.cumsum(0) - counts
    among = torch.arange(int(counts.max())) < counts.index_select(0, surface.scene)[:, None]
    point, number = among.nonzero().unbind(1)
    other = first.index_select(0, surface.scene.index_select(0, point)) + number
    foreign = other != surface.solid.index_select(0, point)
    if rings:
        foreign |= solids.shape.index_select(0, other) == RING
    chosen = foreign.nonzero().flatten()
    return Others(point.index_select(0, chosen), other.index_select(0, chosen))


def lit(surface: Surface, others: Others, solids: Solids, views: Views) -> Tensor:
    """Which share of the lamp each point sees past other solids, (P,)."""
    point, other = others
    lamp = views.lamp.index_select(0, surface.scene)
    points, lamps = (v.index_select(0, point) for v in (surface.points, lamp))
    near = _between(points, lamps, solids.take(other)).nonzero().flatten()
    point, before = point[near], solids.take(other[near])
    starts, lamps = points.index_select(0, near), lamps.index_select(0, near)
    seen = torch.zeros(len(surface.points))
    for offset in _lamp_points():
        towards = F.normalize(lamps + offset - starts, dim=1)
        blocked = meet(starts[:, None], towards[:, None], before)[:, 0] < MISSED
        seen += torch.zeros_like(seen).index_add_(0, point, blocked.float()) == 0
    return seen / LAMP_POINTS


def openness(surface: Surface, others: Others, solids: Solids) -> Tensor:
    """Which share of the sky other solids leave to each point, (P,); each hides it as a ball would."""
    point, other = others
    apart = solids.centres.index_select(0, other) - surface.points.index_select(0, point)
    far = apart.norm(dim=1).clamp(min=1e-3)
    cosine = (surface.facing.index_select(0, point) * apart).sum(1) / far
    hidden = cosine.clamp(min=0) * (solids.size.index_select(0, other) / far).clamp(max=1) ** 2
    share = torch.where(solids.shape == RING, RING_HIDES, HIDES).index_select(0, other)
    logs = torch.zeros(len(surface.points)).index_add_(0, point, torch.log1p(-share * hidden))
    return logs.exp()


def matt(surface: Surface, views: Views, lit: Tensor, openness: Tensor) -> Tensor:
    """What falls on a matt surface, (P,)."""
    towards = views.lamp.index_select(0, surface.scene) - surface.points
    squared = towards.square().sum(1)
    cosine = ((surface.facing * towards).sum(1) / squared.sqrt()).clamp(min=0)
    soft = torch.zeros_like(cosine)
    for strength, direction in SOFT_LIGHTS:
        towards = F.normalize(torch.tensor(direction), dim=0)
        soft += strength * (surface.facing @ towards).clamp(min=0)
    sky = SKY * (0.6 + 0.4 * surface.facing[:, 2])
    return LAMP * cosine * lit / squared + (soft + sky) * openness


def gloss(
    surface: Surface, views: Views, direction: Tensor, lit: Tensor, openness: Tensor
) -> Tensor:
    """What a polished surface mirrors, seen along ``direction`` (P, 3), (P,).

    The lamp (Blinn 1977), and the sky at grazing angles (Schlick 1994).
    """
    towards = F.normalize(views.lamp.index_select(0, surface.scene) - surface.points, dim=1)
    half = F.normalize(towards - direction, dim=1)
    highlight = 0.54 * (surface.facing * half).sum(1).clamp(min=0) ** 60 * lit
    cosine = -(surface.facing * direction).sum(1)
    upward = direction[:, 2] + 2 * cosine * surface.facing[:, 2]
    sky = (0.25 + 0.5 * upward).clamp(min=0.1)
    return highlight + 0.35 * (1 - cosine.clamp(0, 1)) ** 5 * sky * openness


def _between(points: Tensor, lamp: Tensor, solids: Solids) -> Tensor:
    """Bool (P,): whether each solid may hide any of the lamp (P, 3) from its point (P, 3)."""
    apart, towards = solids.centres - points, lamp - points
    far = towards.norm(dim=1)
    along = (apart * towards).sum(1) / far
    aside = (apart.square().sum(1) - along.square()).clamp(min=0).sqrt()
    wide = solids.reach + LAMP_RADIUS * along.clamp(min=0) / far
    return (along > -solids.reach) & (aside < wide)


def _lamp_points() -> Tensor:
    """Evenly on the lamp's disc, (LAMP_POINTS, 3)."""
    count = torch.arange(LAMP_POINTS)
    turn = count * math.pi * (3 - math.sqrt(5))
    radius = LAMP_RADIUS * ((count + 0.5) / LAMP_POINTS).sqrt()
    return torch.stack([radius * turn.cos(), radius * turn.sin(), torch.zeros_like(turn)], 1)
