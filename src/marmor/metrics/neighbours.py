"""Nearest neighbours: is a sample a copy of a training image?"""

from typing import NamedTuple

import torch
from torch import Tensor

QUERIES, ROWS = 256, 4096  # a block of 256 x 4096 float64 distances takes 8 MiB


class Neighbours(NamedTuple):
    """Both (Q, k), nearest first: float64 ``distances`` and int64 ``indices`` into the bank."""

    distances: Tensor
    indices: Tensor


def nearest(queries: Tensor, bank: Tensor, k: int = 1) -> Neighbours:
    """The ``k`` rows of the bank nearest to each query by Euclidean distance.

    ``queries`` (Q, D) and ``bank`` (N, D), any dtype, on one device; computed block by block in
    float64. A row equal to the query has distance exactly 0. Raises ValueError for other shapes and
    for k outside 1 … N.
    """
    if queries.ndim != 2 or bank.ndim != 2 or queries.shape[1] != bank.shape[1]:
        raise ValueError(
            f"queries and bank must be (Q, D) and (N, D), not {tuple(queries.shape)} "
            f"and {tuple(bank.shape)}"
        )
    if not 1 <= k <= len(bank):
        raise ValueError(f"k must lie in 1 … {len(bank)} (rows of the bank), not at {k}")
    found = [_nearest(block, bank, k) for block in queries.split(QUERIES)]
    return Neighbours(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _nearest(queries: Tensor, bank: Tensor, k: int) -> Neighbours:
    queries = queries.to(torch.float64)
    distances = queries.new_empty(len(queries), 0)
    indices = torch.empty(len(queries), 0, dtype=torch.int64, device=queries.device)
    for start in range(0, len(bank), ROWS):
        block = bank[start : start + ROWS].to(torch.float64)
        rows = torch.arange(start, start + len(block), device=queries.device)
        distances = torch.cat([distances, torch.cdist(queries, block)], 1)
        indices = torch.cat([indices, rows.expand(len(queries), -1)], 1)
        distances, kept = distances.topk(min(k, distances.shape[1]), largest=False)
        indices = indices.gather(1, kept)
    return _exact(queries, bank, indices)


def _exact(queries: Tensor, bank: Tensor, indices: Tensor) -> Neighbours:
    # cdist works with |a|² + |b|² - 2ab, which leaves up to 1e-4 between features and their copy.
    differences = queries[:, None] - bank[indices].to(torch.float64)
    distances, order = torch.linalg.vector_norm(differences, dim=2).sort(dim=1, stable=True)
    return Neighbours(distances, indices.gather(1, order))
