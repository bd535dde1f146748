"""Layers that the diffusion networks share. Weights are matrices, so that Muon can orthogonalise them."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Matrix(nn.Module):
    """A linear map without bias; ``zero`` starts it at zero, else fan-in scaled normal."""

    def __init__(self, inputs: int, outputs: int, zero: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(_initial(outputs, inputs, zero))

    def forward(self, x: Tensor) -> Tensor:
        """(…, inputs) → (…, outputs)."""
        return F.linear(x, self.weight)


class MatrixConv(nn.Module):
    """A convolution without bias whose weight is kept as a matrix (out, in·k·k)."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, zero: bool = False
    ) -> None:
        super().__init__()
        self.inputs, self.kernel, self.stride = inputs, kernel, stride
        self.weight = nn.Parameter(_initial(outputs, inputs * kernel**2, zero))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, outputs, H/stride, W/stride)."""
        weight = self.weight.view(-1, self.inputs, self.kernel, self.kernel)
        return F.conv2d(x, weight, stride=self.stride, padding=self.kernel // 2)


class TimeFeatures(nn.Module):
    """Cosines and sines of t at geometrically spaced frequencies 1 … 1000 (Vaswani et al. 2017)."""

    frequencies: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        frequencies = torch.exp(torch.linspace(0, math.log(1000.0), size // 2))
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, t: Tensor) -> Tensor:
        """(B,) in [0, 1] → (B, size)."""
        angles = t[:, None] * self.frequencies
        return torch.cat([angles.cos(), angles.sin()], dim=1)


class Modulation(nn.Linear):
    """Scales, shifts and gates from an embedding; all zero at the start (adaLN-zero, DiT 2023)."""

    def __init__(self, embedding: int, channels: int, parts: int) -> None:
        super().__init__(embedding, parts * channels)
        self.parts = parts
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def split(self, embedding: Tensor) -> tuple[Tensor, ...]:
        """(B, embedding) → ``parts`` tensors (B, channels)."""
        return self(embedding).chunk(self.parts, dim=1)


def norm(x: Tensor) -> Tensor:
    """Layer norm over the last dimension, without affine."""
    return F.layer_norm(x, x.shape[-1:])


def channel_norm(x: Tensor) -> Tensor:
    """Layer norm over the channels of (B, C, H, W), without affine; free in channels-last memory."""
    return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _initial(outputs: int, inputs: int, zero: bool) -> Tensor:
    return torch.zeros(outputs, inputs) if zero else torch.randn(outputs, inputs) / inputs**0.5
