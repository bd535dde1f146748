"""Do pictures show the objects that were asked for? Shares for sets of objects."""

from typing import NamedTuple

import torch
from torch import Tensor

from marmor.metrics.agreement import Share, share
from marmor.metrics.means import Mean, mean

SHOWN = 0.5
"""The probability from which on an object counts as shown."""


class ObjectScores(NamedTuple):
    """Of N pictures, with 95 % intervals as if objects (``found``) and pictures were independent.

    Where they are not, as objects of one picture, intervals over several draws are wider and to be preferred.
    ``found``: of all objects asked for, those among the k surest of a picture that k were asked for (the
    course's score). ``exact``: of all pictures, those that show what was asked for and nothing else.
    ``extra``: how many objects that nobody asked for a picture shows, of one picture without bounds.
    """

    found: Share
    exact: Share
    extra: Mean


class ObjectAnswers(NamedTuple):
    """Yes or no, of each of K objects in each of N pictures: shares answered right, with 95 % intervals.

    Intervals are those of independent answers. ``overall``: of all N · K; ``each``: of the N of an object.
    """

    overall: Share
    each: list[Share]


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
    _check(probabilities, asked)
    counts = asked.sum(1)
    if not len(asked) or not counts.all():
        raise ValueError("there must be pictures, each asked for one object or more")
    places = probabilities.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    hits = (places < counts[:, None]) & asked
    shown = probabilities >= SHOWN
    return ObjectScores(
        found=share(int(hits.sum()), int(counts.sum())),
        exact=share(int((shown == asked).all(1).sum()), len(asked)),
        extra=mean((shown & ~asked).sum(1).tolist()),
    )


def object_answers(probabilities: Tensor, shown: Tensor) -> ObjectAnswers:
    """From a judge's probabilities (N, K) in [0, 1] and what pictures show, bool (N, K).

    Raises ValueError for other shapes.
    """
    _check(probabilities, shown)
    right = (probabilities >= SHOWN) == shown
    each = [share(hits, len(right)) for hits in right.sum(0).tolist()]
    return ObjectAnswers(share(int(right.sum()), right.numel()), each)


def _check(probabilities: Tensor, asked: Tensor) -> None:
    if probabilities.shape != asked.shape or asked.ndim != 2 or asked.dtype != torch.bool:
        raise ValueError(
            f"probabilities {tuple(probabilities.shape)} and asked {asked.dtype} "
            f"{tuple(asked.shape)} must be of one shape (N, K), asked torch.bool"
        )
