"""Networks that count time in steps, behind marmor's time in [0, 1]."""

from torch import Tensor, nn

from marmor.base.conditions import Conditions
from marmor.base.steps import steps_at


class InSteps(nn.Module):
    """Shows a network the step it knows in place of t.

    Step k of a table of ``steps`` lies at t = k/steps, and the network is shown k + ``offset``: −1 for
    those that count from 0, as DDPM's descendants do, 0 for those that count from 1. In between it is
    shown fractions.
    """

    def __init__(self, network: nn.Module, steps: int, offset: int = -1) -> None:
        super().__init__()
        self.network, self.steps, self.offset = network, steps, offset

    def forward(self, x: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        """x (B, C, H, W), t (B,) in [0, 1] → (B, C, H, W)."""
        return self.network(x, steps_at(t, self.steps) + self.offset, conditions)
