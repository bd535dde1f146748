"""The collapse guard: sees an adversarial run go wrong while it can still be mended."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Signs:
    """What can be seen of a checkpoint without target labels."""

    balance: float
    """Entropy of the mean prediction over target images, in nats."""
    source_accuracy: float
    """Of held-out source images."""
    domain_accuracy: float | None = None
    """How often the domain classifier is right; None for methods without one."""


@dataclass(frozen=True)
class CollapseGuard:
    """Tells collapse by three signs.

    Predictions lean to few classes (their mean's entropy below ``least_balance`` of log(classes)); the
    source is forgotten (accuracy more than ``most_lost`` below the best so far); or features can be
    told apart perfectly although they are trained not to be (domain accuracy above
    ``most_apart``), while one of the others is half way there: an opponent that has won gives no direction.
    """

    classes: int
    least_balance: float = 0.6
    most_lost: float = 0.25
    most_apart: float = 0.99

    def verdict(self, signs: Signs, best_source_accuracy: float) -> str | None:
        """One sentence that says what is wrong, or None."""
        balance = signs.balance / math.log(self.classes)
        lost = best_source_accuracy - signs.source_accuracy
        won = signs.domain_accuracy is not None and signs.domain_accuracy > self.most_apart
        if balance < self.least_balance:
            return (
                f"predictions on the target lean to few classes (entropy of their mean "
                f"{100 * balance:.0f} % of the largest)"
            )
        if lost > self.most_lost:
            return (
                f"source accuracy fell to {100 * signs.source_accuracy:.0f} % "
                f"from {100 * best_source_accuracy:.0f} %"
            )
        if won and lost > self.most_lost / 2:
            return (
                f"the domain classifier has won ({100 * (signs.domain_accuracy or 0):.0f} %) and source "
                f"accuracy falls ({100 * signs.source_accuracy:.0f} %)"
            )
        return None
