"""Is the right class among the first few?"""

import torch
from torch import Tensor

from marmor.metrics.agreement import Share, share


def ranks(scores: Tensor, truth: Tensor) -> Tensor:
    """Place of the true class among the K, from 1: scores (N, K), truth int64 (N,) → int64 (N,).

    Of classes with one score the first comes first, as in ``argmax``. Raises ValueError for other shapes and
    for truths that are no class.
    """
    if scores.ndim != 2 or truth.shape != scores.shape[:1]:
        raise ValueError(
            f"scores (N, K) and truth (N,) do not fit: {tuple(scores.shape)} and {tuple(truth.shape)}"
        )
    if len(truth) and not 0 <= int(truth.min()) <= int(truth.max()) < scores.shape[1]:
        raise ValueError(f"truths must be classes in 0 … {scores.shape[1] - 1}")
    order = scores.argsort(dim=1, descending=True, stable=True)
    return (order == truth[:, None]).to(torch.int64).argmax(1) + 1


def top(scores: Tensor, truth: Tensor, count: int) -> Share:
    """The share of rows whose true class is among the ``count`` of the highest scores; Wilson's 95 %."""
    return share(int((ranks(scores, truth) <= count).sum()), len(truth))
