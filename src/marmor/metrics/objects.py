"""Do pictures show the objects that were asked for? Shares for sets of objects."""

from typing import NamedTuple

import torch
from torch import Tensor

from marmor.metrics.agreement import Share, share

SHOWN = 0.5
"""The probability from which on an object counts as shown."""


class ObjectScores(NamedTuple):
    """Of N pictures, with 95 % intervals as if objects (``found``) and pictures (``exact``) were independent.

    Where they are not, as objects of one picture, intervals over several draws are wider and to be preferred.
    ``found``: of all objects asked for, those among the k surest of a picture that k were asked for (the
    course's score). ``exact``: of all pictures, those that show what was asked for and nothing else.
    ``extra``: how many objects that nobody asked for a picture shows.
    """

    found: Share
    exact: Share
    extra: float


def all_shown(probabilities: Tensor) -> Tensor:
    """Whether pictures show every one of some objects, whatever else: (N, K) in [0, 1] → bool (N,)."""
    return (probabilities >= SHOWN).all(1)


def any_shown(probabilities: Tensor) -> Tensor:
    """Whether pictures show at least one of some objects: (N, K) in [0, 1] → bool (N,)."""
    return (probabilities >= SHOWN).any(1)


def object_scores(probabilities: Tensor, asked: Tensor) -> ObjectScores:
    """From a judge's probabilities (N, K) in [0, 1] and the objects asked for, bool (N, K).

    Raises ValueError for other shapes and for a picture that nothing was asked for.
    """
    if probabilities.shape != asked.shape or asked.ndim != 2 or asked.dtype != torch.bool:
        raise ValueError(
            f"probabilities {tuple(probabilities.shape)} and asked {asked.dtype} "
            f"{tuple(asked.shape)} must be of one shape (N, K), asked torch.bool"
        )
    counts = asked.sum(1)
    if not len(asked) or not counts.all():
        raise ValueError("there must be pictures, each asked for one object or more")
    places = probabilities.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    hits = (places < counts[:, None]) & asked
    shown = probabilities >= SHOWN
    return ObjectScores(
        found=share(int(hits.sum()), int(counts.sum())),
        exact=share(int((shown == asked).all(1).sum()), len(asked)),
        extra=(shown & ~asked).sum().item() / len(asked),
    )
