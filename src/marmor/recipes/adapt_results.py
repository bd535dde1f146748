"""What one method with one seed came to, and which of several `best` keeps."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from marmor.recipes.plans import BEST, PLANS, RUNGS, TARGET_ONLY

TAUGHT_SHARES = (
    "left alone, one class swallowed another. The network that was kept was taught that classes are as "
    "frequent as in the source, and held to it when let go; where you know better, ask for --method adamatch."
)
NOTHING_STAYED = "whatever was refined came to lean to fewer classes, and was dropped."
SAID_OF = dict(zip(RUNGS, (None, TAUGHT_SHARES, NOTHING_STAYED), strict=True))
"""What speaks against the network that `best` keeps, by where it comes from."""


@dataclass(frozen=True)
class Result:
    """What one method with one seed came to, on the target, by labels that training never read.

    ``accuracy``: of the checkpoint chosen without labels, on test images; ``oracle``: of the one that the
    labels of held-out target images would have chosen, ``oracle_score`` on those. None without labels.
    ``information``: that answers to two views of held-out target images share, in nats, by which the
    checkpoint was chosen. ``source_accuracy``: on held-out images of what it was trained on.
    ``minutes``: of training, that of the plan it starts from included, without what milestones took and
    what a guard undid. ``stays``: whether shares of classes stayed where they began, of plans where they
    should. ``doubts``: why it may not be trusted, found without labels. ``kept``: the plan whose network
    it is, another than ``method`` for `best` alone.
    """

    method: str
    seed: int
    minutes: float
    images_per_second: float
    information: float
    source_accuracy: float
    accuracy: float | None = None
    oracle: float | None = None
    oracle_score: float | None = None
    test_images: int = 0
    retreats: list[dict[str, Any]] = field(default_factory=list)
    stays: bool = True
    doubts: list[str] = field(default_factory=list)
    kept: str = ""

    @property
    def network(self) -> str:
        """The plan whose network it is."""
        return self.kept or self.method


def best_of(results: Sequence[Result]) -> Result | None:
    """`best` of one seed: the first rung whose shares stay; None where one is still to be trained.

    Its minutes are those of every rung that had to be tried; where a guard went back, the rung tells.
    """
    found = {result.method: result for result in results}
    tried: list[Result] = []
    for rung in RUNGS:
        if rung not in found:
            return None
        tried.append(found[rung])
        if tried[-1].stays:
            break
    last, said = tried[-1], SAID_OF[tried[-1].method]
    # The last rung is also the start of the first, whose minutes count its own.
    minutes = sum(result.minutes for result in tried if result.method != RUNGS[-1])
    doubts = last.doubts if said is None else [*last.doubts, said]
    # As labels would have chosen, among the checkpoints of all that was tried.
    oracle = max([*tried, found[RUNGS[-1]]], key=lambda result: result.oracle_score or 0.0)
    return replace(
        last,
        method=BEST,
        kept=last.method,
        minutes=minutes,
        oracle=oracle.oracle,
        oracle_score=oracle.oracle_score,
        doubts=doubts,
        retreats=[],
    )


def in_order(results: Sequence[Result]) -> list[Result]:
    """As tables have them: methods as PLANS lists them, then `best`, then the upper bound."""
    listed = [*(plan for plan in PLANS if plan != TARGET_ONLY), BEST, TARGET_ONLY]
    return sorted(results, key=lambda result: listed.index(result.method))
