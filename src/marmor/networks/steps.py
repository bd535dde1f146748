"""Networks that count time in steps, behind marmor's time in [0, 1]."""

import torch
from torch import Tensor, nn

from marmor.base.conditions import Conditions

NEAR = 1e-3


class InSteps(nn.Module):
    """Shows a network the step it knows in place of t.

    Step k of a table of ``steps`` lies at t = k/steps, and the network is shown k + ``offset``: −1 for
    those that count from 0, as DDPM's descendants do, 0 for those that count from 1. In between it is
    shown fractions; what float32 leaves of a whole number is made whole.
    """

    def __init__(self, network: nn.Module, steps: int, offset: int = -1) -> None:
        super().__init__()
        self.network, self.steps, self.offset = network, steps, offset

    def forward(self, x: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        """x (B, C, H, W), t (B,) in [0, 1] → (B, C, H, W)."""
        at = t * self.steps
        whole = at.round()
        at = torch.where((at - whole).abs() < NEAR, whole, at)
        return self.network(x, at + self.offset, conditions)
