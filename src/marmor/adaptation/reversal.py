"""Gradient reversal (Ganin & Lempitsky 2015, section 3): the layer that turns an opponent around."""

from typing import Any

import torch
from torch import Tensor


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: float) -> Tensor:
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.weight * gradients[0], None


def reverse_gradient(x: Tensor, weight: float) -> Tensor:
    """x itself; gradients that come back are multiplied by −``weight``.

    What follows learns to tell domains apart, at its full rate, and what precedes learns to hinder
    it: the sign is turned here and nowhere else.
    """
    return _Reversal.apply(x, weight)  # pyright: ignore[reportReturnType]
