"""Do concepts that are drawn together stay apart? How much each object looks like another one's photos."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Leaks(NamedTuple):
    """Of N pictures that show A concepts.

    ``each``: float64 (A, N), leak(a) of each object, in [-2, 2]. At 0 what lies where a should be looks as
    much like another concept as like a; below, it looks more like a. ``told_apart``: bool (N,), whether every
    object of a picture looks most like its own concept.
    """

    each: Tensor
    told_apart: Tensor

    @property
    def leak(self) -> Tensor:
        """The mean over the objects of a picture, float64 (N,)."""
        return self.each.mean(0)


def leaks(crops: Tensor, photos: Sequence[Tensor]) -> Leaks:
    """leak(a) = max over b ≠ a of s(crop_a, photos_b) − s(crop_a, photos_a), s the mean cosine.

    ``crops``: (A, N, D) of length 1, what lies where each concept was drawn; ``photos``: of each concept
    (M_a, D) of length 1. Raises ValueError for fewer than two concepts, or another number of one.
    """
    if len(crops) != len(photos) or len(photos) < 2:
        raise ValueError(f"{len(crops)} kinds of crops for {len(photos)} concepts; two at least")
    means = torch.stack([each.double().mean(0) for each in photos])
    similar = crops.double() @ means.T
    each = torch.stack([_apart(similar[a], a) for a in range(len(photos))])
    return Leaks(each, (each < 0).all(0))


def photo_leak(photos: Sequence[Tensor]) -> float:
    """The leak that the photos themselves have, each against the others: what perfect pictures would reach.

    ``photos`` as in ``leaks``; a concept of one photo is held against itself.
    """
    every: list[Tensor] = []
    for a, own in enumerate(photos):
        means = torch.stack([each.double().mean(0) for each in photos])
        similar = own.double() @ means.T
        if len(own) > 1:
            similar[:, a] = (len(own) * similar[:, a] - own.double().square().sum(1)) / (
                len(own) - 1
            )
        every.append(_apart(similar, a).mean())
    return torch.stack(every).mean().item()


def located(weights: Tensor) -> tuple[float, float, float, float]:
    """Where an object lies by its map of weights (h, w): left, top, right, bottom, shares of the sides.

    Weights count from the least one up, and only those that reach half of the largest. Their centre and
    their spread say where: the box is the centre ± √3 standard deviations, which for even weights on a
    rectangle is that rectangle exactly. It may stand out over the edges; a map without any peak is all of the
    picture.
    """
    raised = weights.double() - weights.min()
    kept = torch.where(raised >= raised.max() / 2, raised, 0)
    if kept.sum() == 0:
        return 0.0, 0.0, 1.0, 1.0
    (left, right), (top, bottom) = _reach(kept.sum(0)), _reach(kept.sum(1))
    return left, top, right, bottom


def _apart(similar: Tensor, a: int) -> Tensor:
    """From similarities (N, A) to the concepts: the most to another one than a, less that to a; (N,)."""
    others = torch.cat([similar[:, :a], similar[:, a + 1 :]], 1)
    return others.max(1).values - similar[:, a]


def _reach(weights: Tensor) -> tuple[float, float]:
    """Centre ± √3 standard deviations of weights (n,) on cells of [0, 1], each cell as wide as it is."""
    share = weights / weights.sum()
    places = (torch.arange(len(weights), dtype=torch.float64) + 0.5) / len(weights)
    centre = (share * places).sum()
    within = 1 / (12 * len(weights) ** 2)
    reach = (3 * ((share * (places - centre).square()).sum() + within)).sqrt()
    return (centre - reach).item(), (centre + reach).item()
