"""The collapse guard: sees an adversarial run go wrong while it can still be mended."""

from dataclasses import dataclass

LEAST_BALANCE = 0.6
"""Of the entropy that the mean prediction should have: below it, answers lean to few classes."""
LEARNED = 0.5
"""Source accuracy from which on uneven predictions are collapse, not a beginning."""
LATE = 0.5
"""Progress from which on the source should be read nearly as well as without adaptation."""
LEAST_AGREEMENT = 0.6
"""Of the answers that the unadapted network is surest of: below it, classes have been turned around."""
MOST_LOST = 0.25
"""Of source accuracy: more is collapse."""
READ_AGAIN = 0.95
"""Of the unadapted source accuracy: from it on the network has learned enough to be compared so."""


@dataclass(frozen=True)
class Signs:
    """What can be seen of a checkpoint without target labels."""

    progress: float
    """Steps done over steps planned."""
    balance: float
    """Entropy of the mean prediction over target images, in nats."""
    source_accuracy: float
    """Of held-out source images."""
    domain_accuracy: float | None = None
    """How often the domain classifier is right; None for methods without one."""
    agreement: float = 1.0
    """With the unadapted network, on the target images that it is surest of."""


@dataclass(frozen=True)
class CollapseGuard:
    """Tells collapse by four signs, against what ``balance`` and ``source_accuracy`` are without adaptation.

    Predictions lean to few classes (their mean's entropy below ``least_balance`` of ``balance``) although
    the source is read; the source is forgotten, or in the second half still not learned (accuracy more
    than ``most_lost`` below the best so far, or below ``source_accuracy``); or features can be told
    apart perfectly although they are trained not to be (domain accuracy above ``most_apart``) and half
    of that much is lost: an opponent that has won gives no direction; or classes are turned around:
    the source is read (``READ_AGAIN`` of ``source_accuracy``), but the target images that the unadapted
    network is surest of are read otherwise (agreement below ``least_agreement``). Domains that are
    aligned with their classes exchanged show no other sign.
    """

    balance: float
    source_accuracy: float
    least_balance: float = LEAST_BALANCE
    most_lost: float = MOST_LOST
    most_apart: float = 0.99
    least_agreement: float = LEAST_AGREEMENT

    def verdict(self, signs: Signs, best_source_accuracy: float) -> str | None:
        """One sentence that says what is wrong, or None."""
        balance = signs.balance / self.balance
        late = signs.progress >= LATE
        best = max(best_source_accuracy, self.source_accuracy if late else 0.0)
        lost = best - signs.source_accuracy
        won = signs.domain_accuracy is not None and signs.domain_accuracy > self.most_apart
        if balance < self.least_balance and signs.source_accuracy >= LEARNED:
            return (
                f"predictions on the target lean to few classes (the entropy of their mean is "
                f"{100 * balance:.0f} % of what it should be)"
            )
        if lost > self.most_lost:
            return (
                f"source accuracy is {100 * signs.source_accuracy:.0f} % "
                f"where it was or should be {100 * best:.0f} %"
            )
        if won and lost > self.most_lost / 2:
            return (
                f"the domain classifier has won ({100 * (signs.domain_accuracy or 0):.0f} %) and source "
                f"accuracy falls ({100 * signs.source_accuracy:.0f} %)"
            )
        readable = signs.source_accuracy >= READ_AGAIN * self.source_accuracy
        if readable and signs.agreement < self.least_agreement:
            return (
                f"classes of the target have been exchanged (of the images that the unadapted network "
                f"is surest of, {100 * signs.agreement:.0f} % are still read alike)"
            )
        return None
