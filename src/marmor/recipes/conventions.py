"""What scripts of DDIM do differently, named."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.pixels import to_bytes


@dataclass(frozen=True)
class Conventions:
    """What scripts of DDIM do differently.

    Args:
        first: the lowest step visited: 1 (1, 21, … 981) or 0 (0, 20, … 980).
        level: whether step t holds as much signal as alphas_cumprod[t] or as [t-1].
        end: the signal at the end: one (a clean image) or first (alphas_cumprod[0]).
        clip: keep the estimated image in [-1, 1]; the estimated noise stays as it is.
        save_range: fixed ([-1, 1] becomes 0 … 255) or per-image (its least value becomes 0, its
            largest 255).
    """

    first: Literal[1, 0] = 1
    level: Literal["t", "t-1"] = "t"
    end: Literal["one", "first"] = "one"
    clip: bool = False
    save_range: Literal["fixed", "per-image"] = "fixed"

    @property
    def offset(self) -> int:
        """Step shown to the network less the number of its alpha-bar, counted from 1."""
        return -1 if self.level == "t" else 0

    def times(self, steps: int, of: int) -> list[float]:
        """Where ``steps`` steps over a table of ``of`` stop; UserError where it has no such steps.

        Step 0 with alphas_cumprod[-1] = 1, and a step to the level it starts from, change nothing and
        are left out.
        """
        if not 1 <= steps <= of:
            raise UserError(f"--steps must lie between 1 and {of}, not {steps}.")
        shown = [self.first + of // steps * i for i in range(steps)]
        numbers = [step - self.offset for step in reversed(shown)]
        last = 1 if self.end == "first" else 0
        left = [number for number in numbers if number > last]
        if numbers[0] > of:
            raise UserError(
                f"--steps {steps} from --first {self.first} on reaches step {shown[-1]}, and the last "
                f"is {of + self.offset}; take fewer steps or --first 0."
            )
        if not left:
            raise UserError(
                f"--steps {steps} with --first {self.first}, --level {self.level} and --end {self.end} "
                "never leaves the end; take more steps."
            )
        return [number / of for number in left] + [last / of]

    def bytes_of(self, x: Tensor) -> Tensor:
        """Finished images (B, C, H, W) as uint8."""
        if self.save_range == "fixed":
            return to_bytes(x)
        low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
        return to_bytes(2 * (x - low) / (high - low).clamp(min=1e-12) - 1)
