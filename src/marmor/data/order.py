"""In which order training visits images."""

import torch
from torch import Tensor

from marmor.base.seeds import torch_stream


def epoch_order(step: int, batch: int, count: int, seed: int) -> Tensor:
    """Indices of a step's images: each epoch is a permutation of all of them, epochs follow on.

    Returns int64 of shape (batch,).
    """
    first = step * batch
    epochs = range(first // count, (first + batch - 1) // count + 1)
    order = torch.cat([_permutation(count, seed, epoch) for epoch in epochs])
    start = first - epochs[0] * count
    return order[start : start + batch]


_remembered: dict[tuple[int, int, int], Tensor] = {}


def _permutation(count: int, seed: int, epoch: int) -> Tensor:
    """The order of one epoch; the last two are remembered."""
    key = (count, seed, epoch)
    if key not in _remembered:
        while len(_remembered) > 1:
            _remembered.pop(next(iter(_remembered)))
        _remembered[key] = torch.randperm(count, generator=torch_stream(seed, "epoch", epoch))
    return _remembered[key]
