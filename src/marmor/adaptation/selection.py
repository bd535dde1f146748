"""Which checkpoint to keep, without target labels."""

from collections.abc import Sequence
from dataclasses import dataclass

from marmor.adaptation.guard import LEAST_AGREEMENT, LEAST_BALANCE


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


def choose(candidates: Sequence[Candidate], balance: float, most_lost: float = 0.1) -> Candidate:
    """The candidate with the highest information, of those that still read the source.

    Left out are those whose source accuracy is more than ``most_lost`` below the best one's, those
    whose predictions lean to few classes (the entropy of their mean below LEAST_BALANCE of
    ``balance``, what it is without adaptation, or log(classes)) and those that have exchanged classes
    (agreement below LEAST_AGREEMENT): what collapsed may not be chosen for being sure. Where that
    leaves none, the one that agrees most, and of those the best reader of the source. Of equals the latest.
    Raises ValueError for no candidates.
    """
    if not candidates:
        raise ValueError("there is no candidate to choose from")
    best = max(candidate.source_accuracy for candidate in candidates)
    sound = [
        candidate
        for candidate in candidates
        if candidate.source_accuracy >= best - most_lost
        and candidate.balance >= LEAST_BALANCE * balance
        and candidate.agreement >= LEAST_AGREEMENT
    ]
    if not sound:
        return max(candidates, key=lambda it: (it.agreement, it.source_accuracy, it.number))
    return max(sound, key=lambda candidate: (candidate.information, candidate.number))
