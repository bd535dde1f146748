"""Do samples show what was asked for? Shares with intervals, per class and over all."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

NORMAL_975 = 1.959963984540054  # the 97.5 % point of the standard normal: two sides make 95 %


class Share(NamedTuple):
    """``value`` = hits / count, between the bounds of its 95 % interval; all in [0, 1].

    Of nothing (count 0) the value is nan and the interval is the whole [0, 1]. A difference of shares lies in
    [-1, 1].
    """

    value: float
    low: float
    high: float
    count: int


class Agreement(NamedTuple):
    """``confusion``: int64 (K, K), rows = class asked for, columns = class read."""

    overall: Share
    per_class: list[Share]
    confusion: Tensor


def share(hits: int, count: int) -> Share:
    """The share of hits with its Wilson score interval (Wilson 1927), 95 %.

    Unlike the normal approximation it stays inside [0, 1] and has width where every trial hits or
    misses. Raises ValueError unless 0 <= hits <= count.
    """
    if not 0 <= hits <= count:
        raise ValueError(f"hits must lie between 0 and the count {count}, not at {hits}")
    if count == 0:
        return Share(math.nan, 0.0, 1.0, 0)
    value = hits / count
    pull = NORMAL_975**2 / count
    centre = (value + pull / 2) / (1 + pull)
    spread = math.sqrt(pull * (value * (1 - value) + pull / 4)) / (1 + pull)
    # At the ends the bound is exactly 0 or 1; rounding would leave it a hair inside.
    low = centre - spread if hits > 0 else 0.0
    high = centre + spread if hits < count else 1.0
    return Share(value, low, high, count)


def share_difference(first: Tensor, second: Tensor) -> Share:
    """How much more often ``first`` hits than ``second`` on the same trials; both bool (N,).

    The interval is Agresti and Min's (2005): half a trial is added to each of the four outcomes, so that it
    has width where both hit the same. Raises ValueError for other shapes and no trials.
    """
    if first.ndim != 1 or first.shape != second.shape or not len(first):
        raise ValueError(
            f"both must be vectors of one length, not {tuple(first.shape)}, {tuple(second.shape)}"
        )
    count = len(first)
    gained, lost = int((first & ~second).sum()), int((second & ~first).sum())
    centre = (gained - lost) / (count + 2)
    spread = math.sqrt(gained + lost + 1 - (gained - lost) ** 2 / (count + 2)) / (count + 2)
    reach = NORMAL_975 * spread
    return Share((gained - lost) / count, centre - reach, centre + reach, count)


def apart(first: Share, second: Share) -> tuple[float, float, float]:
    """first − second of other trials, with its 95 % interval (Newcombe 1998, method 10)."""
    value = first.value - second.value
    down = math.hypot(first.value - first.low, second.high - second.value)
    up = math.hypot(first.high - first.value, second.value - second.low)
    return value, value - down, value + up


def agreement(asked: Tensor, read: Tensor, classes: int) -> Agreement:
    """How often the class read from a sample is the class asked for.

    ``asked`` and ``read``: integers (N,) in 0 … classes-1, on any device. A class that was never
    asked for has a share of count 0. Raises ValueError for other shapes and values.
    """
    if asked.ndim != 1 or asked.shape != read.shape:
        raise ValueError(
            f"asked and read must be vectors of one length, not {tuple(asked.shape)} "
            f"and {tuple(read.shape)}"
        )
    asked, read = _indices("asked", asked, classes), _indices("read", read, classes)
    pairs = torch.bincount(asked * classes + read, minlength=classes * classes)
    confusion = pairs.reshape(classes, classes)
    hits, counts = confusion.diagonal().tolist(), confusion.sum(1).tolist()
    per_class = [share(*each) for each in zip(hits, counts, strict=True)]
    return Agreement(share(sum(hits), sum(counts)), per_class, confusion)


def _indices(name: str, values: Tensor, classes: int) -> Tensor:
    values = values.detach().cpu().to(torch.int64)
    if len(values) and not 0 <= int(values.min()) <= int(values.max()) < classes:
        raise ValueError(f"{name} must hold class indices in 0 … {classes - 1}")
    return values
