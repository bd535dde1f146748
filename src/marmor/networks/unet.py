"""The U-Net of DDPM and its descendants (Ho et al. 2020; Dhariwal & Nichol 2021), in the course's names.

    down1 … downN   a convolution; at each level residual stages, then a downsampling but at the last
    mid1, mid2      residual stages at the lowest resolution, the first with attention
    up1 … upM       at each level one residual stage more than on the way down, then an upsampling
    out             norm, SiLU, convolution

What every stage of the way down puts out is kept and joined, in reverse order, to the input of a
residual stage on the way up. Fully convolutional: any sides that can be halved at every level.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from marmor.base.conditions import Conditions
from marmor.networks.layers import ObjectVectors


class Shape(NamedTuple):
    """Everything that the weights of a U-Net say about it.

    Args:
        channels: of the images.
        widths: of the levels, the full resolution first, multiples of ``groups``.
        attention: whether each level has attention.
        blocks: residual stages of each level on the way down.
        classes: how many values each condition of classes has, by its name.
        sets: how many objects each condition of sets knows, by its name.
        groups: of every GroupNorm. With one channel a group, norms take out again what time and
            classes add, so small networks need fewer than 32. The weights do not tell this.
    """

    channels: int
    widths: tuple[int, ...]
    attention: tuple[bool, ...]
    blocks: int = 2
    classes: Mapping[str, int] = {}
    sets: Mapping[str, int] = {}
    groups: int = 32


class StepFeatures(nn.Module):
    """[sin(k·f), cos(k·f)] of a step k, f_i = 10000^(−2i/size) (Vaswani et al. 2017)."""

    inv_freq: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        exponents = torch.arange(0, size, 2, dtype=torch.float32) / size
        self.register_buffer("inv_freq", torch.exp(-math.log(10000.0) * exponents))

    def forward(self, step: Tensor) -> Tensor:
        """(B,) → (B, size)."""
        angles = step[:, None].float() * self.inv_freq
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class ResidualBlock(nn.Module):
    """Twice norm, SiLU, convolution; the embedding is added between."""

    def __init__(self, inputs: int, outputs: int, embedding: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time = nn.Sequential(nn.SiLU(), nn.Linear(embedding, outputs))
        self.norm2 = nn.GroupNorm(groups, outputs)
        self.conv2 = zero(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.time(embedding)[:, :, None, None]
        return self.skip(x) + self.conv2(F.silu(self.norm2(h)))


class SpatialAttention(nn.Module):
    """Every place looks at every place, with one head."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, width)
        self.qkv = nn.Conv2d(width, 3 * width, 1)
        self.out = zero(nn.Conv2d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (part.flatten(2).mT for part in self.qkv(self.norm(x)).chunk(3, dim=1))
        h = F.scaled_dot_product_attention(query, key, value)  # logits / sqrt(width)
        return x + self.out(h.mT.unflatten(2, x.shape[2:]))


class ResidualStage(nn.Module):
    """A residual block, and attention where the level has it."""

    def __init__(
        self, inputs: int, outputs: int, attention: bool, embedding: int, groups: int
    ) -> None:
        super().__init__()
        self.resblocks = ResidualBlock(inputs, outputs, embedding, groups)
        self.attention = SpatialAttention(outputs, groups) if attention else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return self.attention(self.resblocks(x, embedding))


Stage = Callable[..., ResidualStage]


class UNet(nn.Module):
    """See the module's text; the shapes of a state dict tell its ``Shape`` (`from_state_dict`)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.widths[0]
        embedding = 4 * width
        self.time = nn.Sequential(
            StepFeatures(width),
            nn.Linear(width, embedding),
            nn.SiLU(),
            nn.Linear(embedding, embedding),
        )
        self.labels = nn.ModuleDict(
            {name: nn.Embedding(count + 1, embedding) for name, count in shape.classes.items()}
            | {name: ObjectVectors(count, embedding, 1) for name, count in shape.sets.items()}
        )
        stage = partial(ResidualStage, embedding=embedding, groups=shape.groups)
        down, kept = _way_down(shape, stage)
        up = _way_up(shape, stage, kept)
        self.downs, self.ups = _named(self, "down", down), _named(self, "up", up)
        lowest = shape.widths[-1]
        self.mid1 = stage(lowest, lowest, attention=True)
        self.mid2 = stage(lowest, lowest, attention=False)
        self.out = nn.Sequential(
            nn.GroupNorm(shape.groups, width),
            nn.SiLU(),
            zero(nn.Conv2d(width, shape.channels, 3, padding=1)),
        )

    @property
    def multiple(self) -> int:
        """What the sides of an image must be multiples of, to be halved at every level."""
        return 2 ** (len(self.shape.widths) - 1)

    def forward(self, x: Tensor, step: Tensor, conditions: Conditions) -> Tensor:
        """x (B, C, H, W), steps (B,), encoded conditions by name → (B, C, H, W)."""
        embedding = self.time(step)
        for name, label in self.labels.items():
            embedding = embedding + label(conditions[name])
        kept: list[Tensor] = []
        for name in self.downs:
            x = _through(self.get_submodule(name), x, embedding)
            kept.append(x)
        x = self.mid2(self.mid1(x, embedding), embedding)
        for name in self.ups:
            stage = self.get_submodule(name)
            if isinstance(stage, ResidualStage):
                x = torch.cat([x, kept.pop()], dim=1)
            x = _through(stage, x, embedding)
        return self.out(x)


def from_state_dict(state: Mapping[str, Tensor]) -> UNet:
    """A U-Net of the shape that the weights have, with 32 groups, and without the weights."""
    return UNet(shape_of(state))


def shape_of(state: Mapping[str, Tensor]) -> Shape:
    """What the names and shapes of a U-Net's weights say."""
    widths: list[int] = []
    attention: list[bool] = []
    blocks = 0
    for index in range(2, 1 + _count(state, "down")):
        block = f"down{index}.resblocks.conv1.weight"
        if block not in state:  # a downsampling ends a level
            blocks = 0
            continue
        if blocks == 0:
            widths.append(len(state[block]))
            attention.append(f"down{index}.attention.qkv.weight" in state)
        blocks += 1
    hidden = {
        name.split(".")[1] for name in state if name.startswith("labels.") and ".hidden." in name
    }
    counts = {
        name.split(".")[1]: len(value) - 1
        for name, value in state.items()
        if name.startswith("labels.") and name.count(".") == 2
    }
    classes = {name: count for name, count in counts.items() if name not in hidden}
    sets = {name: count for name, count in counts.items() if name in hidden}
    channels = state["down1.weight"].shape[1]
    return Shape(channels, tuple(widths), tuple(attention), blocks, classes, sets)


def zero(layer: nn.Conv2d) -> nn.Conv2d:
    """``layer`` with weights of zero, so that a new network begins as its skips."""
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def _way_down(shape: Shape, stage: Stage) -> tuple[list[nn.Module], list[int]]:
    """The stages of the way down, and the widths of what they put out."""
    width = shape.widths[0]
    stages: list[nn.Module] = [nn.Conv2d(shape.channels, width, 3, padding=1)]
    kept = [width]
    for level, (wider, attention) in enumerate(zip(shape.widths, shape.attention, strict=True)):
        for _ in range(shape.blocks):
            stages.append(stage(width, wider, attention=attention))
            width = wider
            kept.append(width)
        if level < len(shape.widths) - 1:
            stages.append(nn.Sequential(nn.Conv2d(width, width, 3, stride=2, padding=1)))
            kept.append(width)
    return stages, kept


def _way_up(shape: Shape, stage: Stage, kept: Sequence[int]) -> list[nn.Module]:
    """The stages of the way up; each residual one takes the last width that is still kept."""
    left = list(kept)
    width = shape.widths[-1]
    stages: list[nn.Module] = []
    for level in reversed(range(len(shape.widths))):
        narrower, attention = shape.widths[level], shape.attention[level]
        for _ in range(shape.blocks + 1):
            stages.append(stage(width + left.pop(), narrower, attention=attention))
            width = narrower
        if level > 0:
            conv = nn.Conv2d(width, width, 3, padding=1)
            stages.append(nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), conv))
    return stages


def _named(network: nn.Module, prefix: str, stages: Sequence[nn.Module]) -> list[str]:
    """Gives the stages to the network as prefix1, prefix2, …; returns the names."""
    names = [f"{prefix}{index}" for index in range(1, len(stages) + 1)]
    for name, stage in zip(names, stages, strict=True):
        network.add_module(name, stage)
    return names


def _through(stage: nn.Module, x: Tensor, embedding: Tensor) -> Tensor:
    return stage(x, embedding) if isinstance(stage, ResidualStage) else stage(x)


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many stages are numbered after ``prefix``."""
    count = 0
    while any(name.startswith(f"{prefix}{count + 1}.") for name in state):
        count += 1
    return count
