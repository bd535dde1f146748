"""Pictures of named objects: `red sphere`, `cyan cube` …"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from marmor.base.cores import on_cores
from marmor.base.errors import UserError, unknown_name
from marmor.base.seeds import torch_stream
from marmor.data.scenes.arranging import arrange
from marmor.data.scenes.rendering import COLOURS, MORE_COLOURS, NAMELESS, PAINTS, render
from marmor.data.scenes.solids import SHAPES


def _named(shapes: Sequence[str], colours: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{colour} {shape}" for shape in shapes for colour in colours)


CLEVR_SHAPES = SHAPES[:3]
OBJECTS = _named(CLEVR_SHAPES, COLOURS)
"""The 24 objects of i-CLEVR, in the order of its objects.json."""
EVERY_OBJECT = (*_named(SHAPES, COLOURS), *_named(CLEVR_SHAPES, MORE_COLOURS))
"""All that has a name; those of i-CLEVR come first, those of more colours last."""
DRAWABLE = (*EVERY_OBJECT, *_named(CLEVR_SHAPES, NAMELESS))
"""Behind all that has a name, solids in colours without one, "paint7 cube"."""
_PLACE_OF = {paint: place for place, paint in enumerate(PAINTS)}
SHAPE_OF = torch.tensor([SHAPES.index(name.split()[1]) for name in DRAWABLE])
PAINT_OF = torch.tensor([_PLACE_OF[name.split()[0]] for name in DRAWABLE])
"""Of each of DRAWABLE its place in SHAPES, and in PAINTS."""
SIDE = 64
SMALLEST_SIDE = 16
BLOCK = 16
"""Scenes of side SIDE that are drawn together; fewer where they are larger."""


def objects_of(shapes: str) -> tuple[str, ...]:
    """Objects in CLEVR's colours of shapes, named with commas between them; UserError for unknown shapes."""
    wanted = [name.strip() for name in shapes.split(",")]
    for name in wanted:
        if name not in SHAPES:
            raise unknown_name("shape", name, SHAPES)
    return _named([shape for shape in SHAPES if shape in wanted], COLOURS)


def make_scenes(
    scenes: Sequence[Sequence[int]],
    seed: int,
    side: int = SIDE,
    growing: Sequence[int] | None = None,
    watch: Callable[[float], None] = lambda share: None,
) -> Tensor:
    """Pictures of scenes, each a list of places in DRAWABLE: uint8 (N, 3, side, side).

    ``growing``: how many pictures of each scene, of which the last shows all its objects and each one before
    lacks the last object of the next; one picture a scene when left out. Scene k is drawn from (seed, k):
    it does not depend on the others. ``watch`` is told which share is done. Raises UserError for a scene
    of no objects or of more than fit, and for pictures too small to see them.
    """
    if not scenes or not all(scenes):
        raise UserError("there is a scene without objects; name at least one object for each.")
    if side < SMALLEST_SIDE:
        raise UserError(f"scenes need {SMALLEST_SIDE} pixels a side or more, not {side}.")
    stages = [1] * len(scenes) if growing is None else growing
    size = max(1, BLOCK * SIDE**2 // max(side, SIDE) ** 2)
    blocks = [range(k, min(k + size, len(scenes))) for k in range(0, len(scenes), size)]

    def finish(block: range) -> Tensor:
        streams = [torch_stream(seed, "scenes", k) for k in block]
        return _drawn([scenes[k] for k in block], [stages[k] for k in block], streams, side)

    return torch.cat(on_cores(finish, blocks, watch))


def _drawn(
    scenes: list[Sequence[int]], stages: list[int], streams: list[torch.Generator], side: int
) -> Tensor:
    most = max(map(len, scenes))
    objects = torch.tensor([[*scene, *[-1] * (most - len(scene))] for scene in scenes])
    shapes = torch.where(objects >= 0, SHAPE_OF[objects], -1)
    colours = PAINT_OF[objects[objects >= 0]]
    solids, views = arrange(shapes, streams)
    scene, picture, which = _staged([len(scene) for scene in scenes], stages)
    shown = replace(solids.take(which), scene=picture)
    return render(shown, colours[which], views.take(scene), side)


def _staged(lengths: list[int], stages: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """The scene of every picture; and of every object in one: which picture, which of all objects."""
    scene, picture, which = [], [], []
    first = 0
    for number, (length, count) in enumerate(zip(lengths, stages, strict=True)):
        for shown in range(length - count + 1, length + 1):
            picture += [len(scene)] * shown
            which += range(first, first + shown)
            scene.append(number)
        first += length
    return torch.tensor(scene), torch.tensor(picture), torch.tensor(which)
