"""A small pair in the form of R3GAN (Huang et al. 2024): residual blocks without any normalisation.

Both are stacks of residual blocks, which begin as the identity, with bilinear resampling between levels; the
generator starts from a learned 4×4 picture that the latent vector scales. What lies between blocks keeps the
size of a signal at first, and has no bias. Made for CPUs: plain 3×3 convolutions in place of grouped ones,
which run slowly there.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from marmor.networks.dcgan import SMALLEST, doublings_of

LATENT = 64
WIDTHS = {4: 256, 8: 192, 16: 128, 32: 64, 64: 32, 128: 16}
"""Channels by side."""


class Residual(nn.Module):
    """Twice leaky ReLU and a 3×3 convolution, plus the input; the second convolution starts at zero.

    The first starts as small as Fixup asks for among ``blocks`` of them (Zhang et al. 2019): for two
    convolutions a block, blocks^-1/2 of what keeps the size of a signal.
    """

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        gain = nn.init.calculate_gain("leaky_relu", 0.2)
        nn.init.normal_(self.first.weight, std=gain * (9 * channels * blocks) ** -0.5)
        for zero in (self.first.bias, self.second.weight, self.second.bias):
            assert zero is not None
            nn.init.zeros_(zero)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(_active(self.first(_active(x))))


class R3Generator(nn.Module):
    """From a latent vector to an image; its last layer is linear, so images may leave [-1, 1] a little.

    Args:
        image_shape: (C, H, W), square; H a power of two from 8 up.
        classes: how many classes can be asked for; 0 for images without classes.
        blocks: residual blocks a level.
    """

    latent = LATENT
    reach = None
    """The values that its last layer can give: all."""

    def __init__(
        self, image_shape: tuple[int, int, int], classes: int = 0, blocks: int = 1
    ) -> None:
        super().__init__()
        widths = _widths(image_shape)
        self.label = nn.Embedding(classes, self.latent) if classes else None
        inputs = self.latent * (2 if classes else 1)
        self.picture = nn.Parameter(torch.randn(widths[0], SMALLEST, SMALLEST))
        self.scales = nn.Linear(inputs, widths[0], bias=False)
        _keep_size(self.scales.weight)
        self.levels = _levels(widths, blocks)
        self.between = nn.ModuleList(_mix(a, b) for a, b in pairwise(widths))
        self.last = _mix(widths[-1], image_shape[0])

    def forward(self, latent: Tensor, classes: Tensor | None = None) -> Tensor:
        """Latents (B, 64) and, of a model with classes, their indices (B,) → (B, C, H, W)."""
        if self.label is not None:
            assert classes is not None
            latent = torch.cat([latent, self.label(classes)], dim=1)
        x = self.picture * self.scales(latent)[:, :, None, None]
        x = self.levels[0](x.contiguous(memory_format=torch.channels_last))
        for mix, level in zip(self.between, self.levels[1:], strict=True):
            # Channels are fewer above: mixed first, there is less to enlarge.
            x = F.interpolate(mix(x), scale_factor=2, mode="bilinear", align_corners=False)
            x = level(x)
        return self.last(_active(x))


class R3Critic(nn.Module):
    """From an image to one score; a class is a direction of features (Miyato & Koyama 2018)."""

    def __init__(
        self, image_shape: tuple[int, int, int], classes: int = 0, blocks: int = 1
    ) -> None:
        super().__init__()
        widths = _widths(image_shape)[::-1]
        self.first = _mix(image_shape[0], widths[0])
        self.levels = _levels(widths, blocks)
        self.between = nn.ModuleList(_mix(a, b) for a, b in pairwise(widths))
        self.pool = nn.Conv2d(widths[-1], widths[-1], SMALLEST, groups=widths[-1], bias=False)
        self.score = nn.Linear(widths[-1], 1, bias=False)
        for layer in (self.pool, self.score):
            _keep_size(layer.weight)
        self.label = nn.Embedding(classes, widths[-1]) if classes else None

    def forward(self, images: Tensor, classes: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W), class indices (B,) → scores (B,), higher for real ones."""
        x = self.first(images.contiguous(memory_format=torch.channels_last))
        x = self.levels[0](x)
        for mix, level in zip(self.between, self.levels[1:], strict=True):
            x = level(mix(F.avg_pool2d(x, 2)))
        features = self.pool(_active(x)).flatten(1)
        scores = self.score(features).flatten()
        if self.label is not None:
            assert classes is not None
            scores = scores + (self.label(classes) * features).sum(1) / features.shape[1] ** 0.5
        return scores


def _widths(image_shape: tuple[int, int, int]) -> list[int]:
    """Channels of every level, from 4×4 up."""
    sides = [SMALLEST * 2**level for level in range(doublings_of(image_shape) + 1)]
    return [WIDTHS.get(side, WIDTHS[max(WIDTHS)]) for side in sides]


def _levels(widths: list[int], blocks: int) -> nn.ModuleList:
    """So many residual blocks of each width."""
    whole = blocks * len(widths)
    return nn.ModuleList(
        nn.Sequential(*(Residual(width, whole) for _ in range(blocks))) for width in widths
    )


def _mix(inputs: int, outputs: int) -> nn.Conv2d:
    mix = nn.Conv2d(inputs, outputs, 1, bias=False)
    _keep_size(mix.weight)
    return mix


def _keep_size(weight: Tensor) -> None:
    """N(0, 1 / inputs): outputs vary as much as the inputs."""
    nn.init.kaiming_normal_(weight, nonlinearity="linear")


def _active(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)
