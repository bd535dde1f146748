"""How long a run lasts, and where it stands between 0 and 1."""

import math
from dataclasses import dataclass

from marmor.base.errors import UserError


@dataclass(frozen=True)
class Budget:
    """A length in exactly one unit. Progress, and with it the learning rate, follows that unit."""

    steps: int | None = None
    images: int | None = None
    epochs: float | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        given = {name: value for name, value in vars(self).items() if value is not None}
        if len(given) != 1:
            raise UserError(
                "a budget is given in one unit: --steps, --images, --epochs or --minutes, "
                f"not {', '.join(f'--{name}' for name in given) or 'none of them'}."
            )
        [(name, value)] = given.items()
        if not (value > 0 and math.isfinite(value)):
            raise UserError(f"--{name} must be a number above 0, not {value}.")

    @classmethod
    def asked(
        cls,
        usual_minutes: float,
        *,
        steps: int | None = None,
        images: int | None = None,
        epochs: float | None = None,
        minutes: float | None = None,
    ) -> "Budget":
        """What a person asks for; ``usual_minutes`` where nothing is said."""
        if steps is images is epochs is minutes is None:
            return cls(minutes=usual_minutes)
        return cls(steps, images, epochs, minutes)

    def progress(self, step: int, images: int, seconds: float, dataset: int) -> float:
        """The share of the budget that is used up, in [0, 1]."""
        if self.steps is not None:
            share = step / self.steps
        elif self.images is not None:
            share = images / self.images
        elif self.epochs is not None:
            share = images / (self.epochs * dataset)
        else:
            share = seconds / (60 * (self.minutes or 1))
        return min(share, 1.0)

    def __str__(self) -> str:
        return " ".join(f"{v:g} {k}" for k, v in vars(self).items() if v is not None)


def warmup_then_linear(progress: float, warmup: float = 0.03) -> float:
    """A factor that rises over the first ``warmup`` of the budget and falls to its end.

    It ends at 0.001: the last steps still count, and a factor of zero would waste them.
    """
    if progress < warmup:
        return max(progress / warmup, 1e-3)
    return max((1 - progress) / (1 - warmup), 1e-3)


def linear_decay(progress: float) -> float:
    """The published recipe's factor: 1 at the start, falling linearly to zero at the end."""
    return 1 - progress
