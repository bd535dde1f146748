"""Muon with matrices of one shape orthogonalised together.

Networks of this size have dozens of small matrices: stacked, they take fewer operations.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from marmor.training.precision import faster

FORMATS = {"bf16": torch.bfloat16, "fp32": torch.float32}
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic step (Jordan et al. 2024): steep at 0, so that few steps do; values end in 0.7 … 1.2."""


class Muon(torch.optim.Optimizer):
    """Momentum orthogonalised by Newton-Schulz (Jordan et al. 2024, github.com/KellerJordan/Muon).

    Moves a matrix (A, B) by lr · √max(1, A/B) along the nearest semi-orthogonal matrix to its Nesterov
    momentum. ``torch.optim.Muon`` without weight decay does the same, matrix by matrix. A convolution's
    kernels (out, in, h, w) are moved as the matrix (out, in·h·w) that they are.

    Args:
        parameters: matrices and kernels; a ValueError for vectors and scalars.
        lr: step in spectral norm, before that factor.
        momentum: of the running mean of gradients.
        steps: Newton-Schulz steps.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 0.01,
        momentum: float = 0.95,
        steps: int = 5,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "steps": steps})
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.ndim < 2:
                    raise ValueError(f"Muon moves matrices, not shape {tuple(parameter.shape)}")

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step on every matrix that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape.setdefault(parameter.shape, []).append(parameter)
            for parameters in by_shape.values():
                self._move(parameters, group)

    def _move(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        nesterov = [self._nesterov(parameter, group["momentum"]) for parameter in parameters]
        matrices = torch.stack(nesterov).flatten(2)
        directions = orthogonalise(matrices, group["steps"])
        rows, columns = matrices.shape[1:]
        rate = group["lr"] * max(1.0, rows / columns) ** 0.5
        for parameter, direction in zip(parameters, directions, strict=True):
            parameter.add_(direction.view_as(parameter), alpha=-rate)

    def _nesterov(self, parameter: Tensor, decay: float) -> Tensor:
        """Takes the gradient into the running mean and looks one step ahead."""
        assert parameter.grad is not None
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(parameter.grad, 1 - decay)
        return parameter.grad.lerp(state["momentum"], decay)


def orthogonalise(matrices: Tensor, steps: int) -> Tensor:
    """(N, A, B) → about U·Vᵀ of each matrix's U·S·Vᵀ; singular values in about 0.7 … 1.2.

    In bfloat16, which is exact enough, where the hardware multiplies that faster; else in float32.
    """
    a, b, c = COEFFICIENTS
    wide = matrices.shape[1] <= matrices.shape[2]
    x = (matrices if wide else matrices.mT).to(FORMATS[faster(matrices.device)])
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if wide else x.mT
