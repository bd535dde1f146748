"""Which checkpoint to keep, without target labels."""

from collections.abc import Sequence
from dataclasses import dataclass

from marmor.adaptation.guard import LEAST_AGREEMENT, LEAST_BALANCE, MOST_LOST

FORGOTTEN = 0.1
"""Of source accuracy, below the best of the same run."""


@dataclass(frozen=True)
class Candidate:
    """A checkpoint and what label-free scores say of it, in nats where they are entropies."""

    number: int
    """Its place among the candidates of its run, from the earliest on."""
    information: float
    """That answers to two views of the same target images share."""
    balance: float
    source_accuracy: float
    agreement: float = 1.0
    """With the unadapted network, on the target images that it is surest of; 1 where there is none."""


def choose(
    candidates: Sequence[Candidate], balance: float, source_accuracy: float = 0.0
) -> Candidate:
    """The sound candidate (``sound``) with the highest information.

    Where none is sound, the one that agrees most, and of those the best reader of the source. Of equals the
    latest. Raises ValueError for no candidates.
    """
    if not candidates:
        raise ValueError("there is no candidate to choose from")
    fit = sound(candidates, balance, source_accuracy)
    if not fit:
        return max(candidates, key=lambda it: (it.agreement, it.source_accuracy, it.number))
    return max(fit, key=lambda candidate: (candidate.information, candidate.number))


def sound(
    candidates: Sequence[Candidate], balance: float, source_accuracy: float = 0.0
) -> list[Candidate]:
    """Those that may be chosen; ``balance`` and ``source_accuracy`` are what they are without adaptation.

    Left out are those that read the source worse than the best of them by more than FORGOTTEN, or than
    ``source_accuracy`` by more than MOST_LOST; those whose predictions lean to few classes (the entropy of
    their mean below LEAST_BALANCE of ``balance``) and those that have exchanged classes (agreement below
    LEAST_AGREEMENT): what collapsed may not be chosen for being sure.
    """
    best = max((candidate.source_accuracy for candidate in candidates), default=0.0)
    least = max(best - FORGOTTEN, source_accuracy - MOST_LOST)
    return [
        candidate
        for candidate in candidates
        if candidate.source_accuracy >= least
        and candidate.balance >= LEAST_BALANCE * balance
        and candidate.agreement >= LEAST_AGREEMENT
    ]
