"""How sure figures of two sets of features are: the delete-a-group jackknife."""

import statistics
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from marmor.base.cores import on_cores
from marmor.base.seeds import torch_stream

GROUPS = 10
LEAST = 2 * GROUPS
"""Samples on a side that an interval needs."""

Statistic = Callable[[Tensor, Tensor], tuple[float, ...]]
"""Two sets of features (N, D) and (M, D) → figures."""


class Figure(NamedTuple):
    """``value`` between the bounds of its 95 % interval; ``without``: what it is without each group."""

    value: float
    low: float
    high: float
    without: tuple[float, ...]


def figures(statistic: Statistic, a: Tensor, b: Tensor, seed: int = 0) -> list[Figure]:
    """The figures of two sets, each with its 95 % interval by the jackknife (Kott 2001).

    Both sets are parted at random into ``GROUPS`` groups; the figures are taken without each group of both
    in turn, and how far that moves them tells how far other samples of the same sources would: the variance
    is (G − 1)/G · Σ (θ without g − their mean)². A bootstrap would not do: samples drawn twice look like
    copies, and make a distribution narrower. The statistic sees samples in random order.

    ``a`` and ``b``: (N, D) and (M, D). Raises ValueError for fewer than ``LEAST`` samples on a side.
    """
    if min(len(a), len(b)) < LEAST:
        raise ValueError(f"intervals need {LEAST} samples a side, not {len(a)} and {len(b)}")
    a, b = (_shuffled(x, torch_stream(seed, "jackknife", side)) for side, x in enumerate((a, b)))

    def taken(without: int | None) -> tuple[float, ...]:
        return statistic(_except(a, without), _except(b, without))

    values, *others = on_cores(taken, [None, *range(GROUPS)])
    return [_figure(value, without) for value, *without in zip(values, *others, strict=True)]


def difference(a: Figure, b: Figure) -> Figure:
    """a − b with its interval, which is narrower where both were taken against the same second set."""
    without = [one - other for one, other in zip(a.without, b.without, strict=True)]
    return _figure(a.value - b.value, without)


def _figure(value: float, without: Sequence[float]) -> Figure:
    centre = statistics.fmean(without)
    variance = (GROUPS - 1) / GROUPS * sum((each - centre) ** 2 for each in without)
    reach = _student() * variance**0.5
    return Figure(value, value - reach, value + reach, tuple(without))


def _shuffled(x: Tensor, stream: torch.Generator) -> Tensor:
    return x[torch.randperm(len(x), generator=stream).to(x.device)]


def _except(x: Tensor, group: int | None) -> Tensor:
    if group is None:
        return x
    return x[torch.arange(len(x), device=x.device) % GROUPS != group]


@cache
def _student() -> float:
    """The 97.5 % point of Student's distribution with GROUPS − 1 degrees of freedom."""
    from scipy.stats import t  # slow to import, and few commands need it

    return float(t.ppf(0.975, GROUPS - 1))
