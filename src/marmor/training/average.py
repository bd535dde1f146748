"""The exponential moving average of the weights, which is what samples are drawn with."""

import copy

import torch
from torch import nn


class Average:
    """EMA of parameters; buffers are copied, never averaged.

    The decay warms up as (1 + n)/(10 + n), so that early weights do not linger in short runs.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(module).requires_grad_(False).eval()
        self.decay = decay

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Takes in the weights after ``step`` steps (counted from 1)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        pairs = zip(self.module.parameters(), module.parameters(), strict=True)
        for mine, theirs in pairs:
            mine.lerp_(theirs, 1 - decay)
        for kept, fresh in zip(self.module.buffers(), module.buffers(), strict=True):
            kept.copy_(fresh)
