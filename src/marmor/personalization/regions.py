"""Several prompts in one picture, each in a place of its own."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from marmor.personalization.placeholders import NAME

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, as shares of the picture's sides."""


class Region(NamedTuple):
    """A place and what is drawn there."""

    box: Box
    prompt: str


def columns(prompt: str) -> tuple[Region, ...]:
    """A column for each new word of a prompt, from left to right, with what the prompt says around them all.

    "a <new1> next to a <new2> in the snow" is "a <new1> in the snow" at the left and "a <new2> in the
    snow" at the right. () for a prompt with fewer than two new words, where nothing has to be kept apart.
    """
    words = list(NAME.finditer(prompt))
    if len(words) < 2:
        return ()
    before, behind = prompt[: words[0].start()], prompt[words[-1].end() :]
    count = len(words)
    return tuple(
        Region((k / count, 0.0, (k + 1) / count, 1.0), f"{before}{word.group()}{behind}")
        for k, word in enumerate(words)
    )


def shares(boxes: Sequence[Box], height: int, width: int) -> Tensor:
    """Which box speaks for which place, float32 (1 + boxes, height, width), adding up to 1 in each place.

    The first is what no box covers. A place belongs to the boxes that hold its middle, to equal shares
    (MultiDiffusion's least squares, Bar-Tal et al. 2023, equation 5).
    """
    down = (torch.arange(height) + 0.5) / height
    across = (torch.arange(width) + 0.5) / width
    inside = [
        ((down >= top) & (down < bottom))[:, None] & ((across >= left) & (across < right))
        for left, top, right, bottom in boxes
    ]
    covered = torch.stack([torch.zeros(height, width, dtype=torch.bool), *inside]).float()
    covered[0] = covered.sum(0) == 0
    return covered / covered.sum(0)
