"""Signs of trouble between a generator and a critic, seen while they can still be mended."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

EXPLODED = 100.0
"""How many times its usual size plus 1 a loss has when it has exploded."""
APART = 0.995
"""Accuracy from which on a critic tells all images apart."""
NOTHING_LEFT = 0.02
"""Of what a critic pays that knows nothing: below it, it has nothing left to learn, nor to teach."""
LEAST_DIVERSITY = 0.3
"""Of that of real images, in the second half of a run."""
MOST_LOST = 0.6
"""Of the diversity that was reached before."""


@dataclass(frozen=True)
class Signs:
    """What is seen at a milestone.

    Args:
        critic: its loss, penalties included.
        generator: its loss.
        accuracy: of the critic, in [0, 1].
        diversity: of images from fixed latents, over that of real images.
    """

    critic: float
    generator: float
    accuracy: float
    diversity: float


def spread(images: Tensor) -> float:
    """The mean distance of images (N, C, H, W) from each other, N at least 2."""
    return torch.pdist(images.float().flatten(1)).mean().item()


@dataclass(frozen=True)
class Referee:
    """Tells three ways in which a game ends early.

    A loss explodes: it is ``EXPLODED`` times as large as at the milestones before, or, where there is none
    before, as ``idle``. The critic has won: at two milestones on end it tells everything apart and pays next
    to nothing, of ``idle`` that it would pay if it knew nothing; None for objectives whose critic cannot win,
    and whose first loss may have any size. The generator has collapsed: images from fixed latents are much
    more alike than they were, or, in the second half, than real images are without becoming less so.
    """

    idle: float | None

    def verdict(self, now: Signs, before: Sequence[Signs], late: bool) -> str | None:
        """One clause that says what is wrong, or None; ``before``: the milestones since the start."""
        losses = [(each.critic, each.generator) for each in before]
        return (
            self.exploded((now.critic, now.generator), losses)
            or self._won(now, before)
            or _collapsed(now, before, late)
        )

    def exploded(
        self, now: tuple[float, float], before: Sequence[tuple[float, float]]
    ) -> str | None:
        """The same of the losses of critic and generator alone, which any line of the log has."""
        for place, whose in enumerate(("critic", "generator")):
            usual = [losses[place] for losses in before]
            if wrong := _exploded(whose, now[place], usual, self.idle):
                return wrong
        return None

    def _won(self, now: Signs, before: Sequence[Signs]) -> str | None:
        if self.idle is None or not before:
            return None
        if not all(self._tells_all_apart(each) for each in (before[-1], now)):
            return None
        return (
            f"the critic has won: it tells {100 * now.accuracy:.1f} % of the images apart, its loss is "
            f"{now.critic:.2g}, and the generator learns nothing from it"
        )

    def _tells_all_apart(self, signs: Signs) -> bool:
        assert self.idle is not None
        return signs.accuracy > APART and signs.critic < NOTHING_LEFT * self.idle


def _exploded(whose: str, loss: float, before: Sequence[float], idle: float | None) -> str | None:
    usual = statistics.median(map(abs, before)) if before else idle
    if usual is None or abs(loss) <= EXPLODED * (1 + usual):
        return None
    return f"the {whose}'s loss has exploded, to {loss:.3g}"


def _collapsed(now: Signs, before: Sequence[Signs], late: bool) -> str | None:
    if not before:
        return None
    reached = min(1.0, max(each.diversity for each in before))
    stuck = late and now.diversity <= before[-1].diversity
    least = max((1 - MOST_LOST) * reached, LEAST_DIVERSITY if stuck else 0.0)
    if now.diversity >= least:
        return None
    share = f"{100 * now.diversity:.0f} %"
    return f"the generator has collapsed: its images differ {share} as much as real ones do"
