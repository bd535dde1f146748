"""Layers that networks share.

Weights of linear maps and convolutions of diffusion networks are matrices, so that Muon can orthogonalise
them; the tables of class maps are not such weights.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from marmor.base.conditions import ClassLabel, Conditions, Kinds, ObjectSet


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


def conv_norm(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A 3×3 convolution, BatchNorm and ReLU, as judges have them."""
    # BatchNorm has its own offset, so the convolution needs none.
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


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


class ObjectVectors(nn.Module):
    """One learned vector for each object and one for "none"; of a set their sum, through hidden layers.

    That is the same as a linear map of its multi-hot vector, then a perceptron of ``depth`` hidden layers.
    """

    def __init__(self, objects: int, width: int, depth: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(objects + 1, width))
        hidden = [layer for _ in range(depth) for layer in (nn.SiLU(), nn.Linear(width, width))]
        self.hidden = nn.Sequential(*hidden)

    def forward(self, values: Tensor) -> Tensor:
        """(B, objects + 1), as ``ObjectSet`` encodes them → (B, width)."""
        return self.hidden(values @ self.weight)


class ObjectTokens(nn.Module):
    """A learned token for each object and one for "none", of which those are attended to that are said."""

    def __init__(self, objects: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(objects + 1, width))

    def forward(self, values: Tensor) -> "Context":
        """(B, objects + 1), as ``ObjectSet`` encodes them → as many tokens a row as the fullest row says."""
        most = int((values > 0).sum(dim=1).max())
        said, chosen = values.topk(most, dim=1)
        return Context(F.embedding(chosen, self.weight), said > 0)


class Context(NamedTuple):
    """Tokens (B, N, width) beside the image's own, and which may be attended to, bool (B, N)."""

    tokens: Tensor
    said: Tensor


def condition_vectors(kinds: Kinds, width: int, depth: int = 0) -> nn.ModuleDict:
    """For each condition, what turns its encoded values into vectors (B, width).

    ``depth``: hidden layers behind those of sets.
    """
    return nn.ModuleDict(
        {
            name: ObjectVectors(kind.size, width, depth)
            if isinstance(kind, ObjectSet)
            else nn.Embedding(kind.size + 1, width)
            for name, kind in kinds.items()
        }
    )


class ClassMaps(nn.Module):
    """A learned scale and shift at every place and channel, for each value of each condition.

    What SPADE (Park et al. 2019, eq. 1) reads off a label map is here a table: where the shape of a
    class is, and what it does to what lies under it, need not be found by attention. Products matter:
    a digit of MNIST-M inverts its background (docs/digits.md has the gain). Starts as the identity.

    Sets of objects have none: an object may lie anywhere.

    Args:
        kinds: the conditions by name; each class has a row, and "none".
        shape: of one input.
    """

    def __init__(self, kinds: Kinds, shape: Sequence[int]) -> None:
        super().__init__()
        classes = {n: kind.size for n, kind in kinds.items() if isinstance(kind, ClassLabel)}
        self.shape = tuple(shape)
        size = math.prod(shape)
        self.scales = nn.ParameterDict({n: torch.zeros(k + 1, size) for n, k in classes.items()})
        self.shifts = nn.ParameterDict({n: torch.zeros(k + 1, size) for n, k in classes.items()})

    def forward(self, x: Tensor, conditions: Conditions) -> Tensor:
        """x (B, *shape), class indices (B,) by name → (B, *shape)."""
        for name, scales in self.scales.items():
            scale, shift = (
                F.embedding(conditions[name], table).view(-1, *self.shape)
                for table in (scales, self.shifts[name])
            )
            x = x * (1 + scale) + shift
        return x


def norm(x: Tensor) -> Tensor:
    """Layer norm over the last dimension, without affine."""
    return F.layer_norm(x, x.shape[-1:])


def modulated(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``norm`` of x (…, width) · (1 + scale) + shift, in the precision of these two, which broadcast to x."""
    return norm(x).to(scale.dtype) * (1 + scale) + shift


def normalised(x: Tensor) -> Tensor:
    """Vectors (…, width) over their length, as ``F.normalize``, in half as long on a CPU."""
    return _Normalised.apply(x)  # type: ignore[no-any-return]


class _Normalised(torch.autograd.Function):
    """Knows its gradient, which autograd would put together from a dozen passes over the vectors."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # type: ignore[override]
        lengths = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        over_length = lengths.clamp_(min=1e-12).reciprocal_()
        unit = x * over_length
        ctx.save_for_backward(unit, over_length)
        return unit

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        unit, over_length = ctx.saved_tensors
        along = (grad * unit).sum(dim=-1, keepdim=True)
        return torch.addcmul(grad, unit, along, value=-1).mul_(over_length)


def channel_norm(x: Tensor) -> Tensor:
    """Layer norm over the channels of (B, C, H, W), without affine; free in channels-last memory."""
    return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _initial(outputs: int, inputs: int, zero: bool) -> Tensor:
    return torch.zeros(outputs, inputs) if zero else torch.randn(outputs, inputs) / inputs**0.5
