"""Where the objects of scenes stand: apart, within the picture, none hidden by others."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from marmor.base.errors import UserError
from marmor.data.scenes.camera import Views, project, shown_reach
from marmor.data.scenes.rendering import sample
from marmor.data.scenes.solids import CUBE, Solids

EYE, LAMP = (0.0, -9.2, 6.0), (-5.0, -4.0, 7.5)
EYE_MOVES, LAMP_MOVES = 0.4, 0.5
"""Up to so much along each axis from scene to scene."""
AREA = 2.7
"""Half the side of the square on the table that objects stand in."""
ROUND_SIZE, CUBE_SIZE = 0.7, 0.62
"""Half the height; as in CLEVR cubes are smaller, since they are widest at their corners."""
GAP = 0.2
"""Between the circles that objects stand in."""
MARGIN = 0.95
"""How far from its middle they may reach, in half the picture's side."""
LEAST_SEEN = 0.6
"""Of each object's silhouette, what others must leave visible."""
TRIES = 300

_COARSE = 32
"""Side of the pictures in which silhouettes are compared."""


def arrange(shapes: Tensor, streams: Sequence[torch.Generator]) -> tuple[Solids, Views]:
    """Places for the objects of S scenes, each drawn from its own stream until it stands well.

    ``shapes``: int64 (S, K), places in SHAPES, -1 after the last one of a scene. Objects are placed one
    after the other, so that the first ones of a scene stand well without the rest. Raises UserError
    where they do not fit.
    """
    most = shapes.shape[1]
    drawn = torch.stack([_around(stream, 6 + most * (1 + 2 * TRIES)) for stream in streams])
    eye = torch.tensor(EYE) + EYE_MOVES * drawn[:, :3]
    views = Views(eye, torch.tensor(LAMP) + LAMP_MOVES * drawn[:, 3:6])
    each = drawn[:, 6:].unflatten(1, (most, -1))
    turn = math.pi * each[:, :, 0]
    tries = AREA * each[:, :, 1:].unflatten(2, (TRIES, 2))
    place = tries[:, :, 0].clone()
    for k in range(most):
        waiting = (shapes[:, k] >= 0).nonzero().flatten()
        for number in range(TRIES):
            place[waiting, k] = tries[waiting, k, number]
            some = shapes[waiting, : k + 1], place[waiting, : k + 1], turn[waiting, : k + 1]
            waiting = waiting[~_last_stands_well(*some, views.take(waiting))]
            if not len(waiting):
                break
        else:
            raise UserError(
                f"{k + 1} objects do not fit into one picture; name fewer objects for a scene."
            )
    return standing(shapes, place, turn), views


def standing(shapes: Tensor, place: Tensor, turn: Tensor) -> Solids:
    """Solids of shapes (S, K), -1 for none, at places (S, K, 2), turned (S, K)."""
    scene, k = (shapes >= 0).nonzero().unbind(1)
    shape = shapes[scene, k]
    size = torch.where(shape == CUBE, CUBE_SIZE, ROUND_SIZE)
    return Solids(scene, shape, place[scene, k, 0], place[scene, k, 1], turn[scene, k], size)


def _last_stands_well(shapes: Tensor, place: Tensor, turn: Tensor, views: Views) -> Tensor:
    """Bool (S,): whether the last object of shapes (S, K) may stand where it does."""
    k = shapes.shape[1] - 1
    last = standing(shapes[:, k:], place[:, k:], turn[:, k:])
    reach = project(last.centres, views.eye).abs().amax(1)
    well = reach + shown_reach(last.reach, last.centres, views.eye) < MARGIN
    circles = torch.where(shapes == CUBE, CUBE_SIZE * math.sqrt(2), ROUND_SIZE)
    apart = (place[:, :k] - place[:, k : k + 1]).norm(dim=2)
    well &= (apart > circles[:, :k] + circles[:, k:] + GAP).all(1)
    some = well.nonzero().flatten()
    if k > 0 and len(some):
        solids = standing(shapes[some], place[some], turn[some])
        hidden = sample(solids, views.take(some), _COARSE).seen_shares() < LEAST_SEEN
        well[some[solids.scene[hidden]]] = False
    return well


def _around(stream: torch.Generator, count: int) -> Tensor:
    """Uniform in [-1, 1)."""
    return torch.rand(count, generator=stream) * 2 - 1
