"""The pair of DCGAN (Radford et al. 2016), in the widths of the faces report: 1024 to 128, and 64 to 512.

Convolutions of 4×4 without bias; BatchNorm everywhere but at the images. WGAN's critic is the same network:
neither ends in a sigmoid, which the objective of DCGAN holds. Channels double from the images inwards.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

LATENT = 100
SMALLEST = 4
"""Side from which a generator starts."""


class DcganGenerator(nn.Module):
    """Transposed convolutions from a latent vector to an image in [-1, 1].

    Args:
        image_shape: (C, H, W), square; H a power of two from 8 up.
        classes: how many classes can be asked for; 0 for images without classes. A class is a learned vector
            beside the latent one.
        narrowest: channels before the last convolution.
        widest: the most channels of any layer.
    """

    latent = LATENT

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        classes: int = 0,
        narrowest: int = 128,
        widest: int = 1024,
    ) -> None:
        super().__init__()
        self.label = nn.Embedding(classes, self.latent) if classes else None
        inputs = self.latent * (2 if classes else 1)
        widths = _widths(image_shape, narrowest, widest)[::-1]
        layers: list[nn.Module] = [*_up(inputs, widths[0], stride=1, padding=0)]
        for before, after in pairwise(widths):
            layers += _up(before, after)
        last = nn.ConvTranspose2d(widths[-1], image_shape[0], 4, 2, 1, bias=False)
        self.body = nn.Sequential(*layers, last, nn.Tanh())
        draw_weights(self)
        self.to(memory_format=torch.channels_last)  # processors convolve faster so

    def forward(self, latent: Tensor, classes: Tensor | None = None) -> Tensor:
        """Latents (B, 100) and, of a model with classes, their indices (B,) → (B, C, H, W)."""
        if self.label is not None:
            assert classes is not None
            latent = torch.cat([latent, self.label(classes)], dim=1)
        return self.body(latent[:, :, None, None])


class DcganCritic(nn.Module):
    """Strided convolutions from an image to one score; a class adds how well it fits the features.

    That is the projection of Miyato & Koyama 2018. Arguments as of ``DcganGenerator``; ``narrowest``:
    channels after the first convolution. ``normalised``: whether with BatchNorm; WGAN-GP's critic has none,
    since its penalty is one of single images (Gulrajani et al. 2017, section 4).
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        classes: int = 0,
        narrowest: int = 64,
        widest: int = 1024,
        normalised: bool = True,
    ) -> None:
        super().__init__()
        widths = _widths(image_shape, narrowest, widest)
        layers: list[nn.Module] = [_down(image_shape[0], widths[0]), nn.LeakyReLU(0.2)]
        for before, after in pairwise(widths):
            norm = [nn.BatchNorm2d(after)] if normalised else []
            layers += [_down(before, after), *norm, nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers)
        self.score = nn.Conv2d(widths[-1], 1, SMALLEST, 1, 0, bias=False)
        self.label = nn.Embedding(classes, widths[-1]) if classes else None
        draw_weights(self)
        if self.label is not None:
            # A weight like the others; a generator's class stands beside its latent vector instead.
            nn.init.normal_(self.label.weight, 0.0, 0.02)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor, classes: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) in [-1, 1], class indices (B,) → scores (B,), higher for real ones."""
        features = self.body(images)
        scores = self.score(features).flatten()
        if self.label is not None:
            assert classes is not None
            scores = scores + (self.label(classes) * features.mean((2, 3))).sum(1)
        return scores


def doublings_of(image_shape: tuple[int, int, int]) -> int:
    """How often a side of 4 doubles to that of the images; ValueError where it does not come out."""
    _, height, width = image_shape
    doublings = round(math.log2(max(height, 1) / SMALLEST))
    if height != width or doublings < 1 or SMALLEST * 2**doublings != height:
        raise ValueError(f"sides must be 8, 16, 32, 64 …, not {height} × {width}")
    return doublings


def _widths(image_shape: tuple[int, int, int], narrowest: int, widest: int) -> list[int]:
    """Channels of every level, from the images inwards."""
    return [min(narrowest * 2**level, widest) for level in range(doublings_of(image_shape))]


def draw_weights(module: nn.Module) -> None:
    """Weights from N(0, 0.02), scales of BatchNorm from N(1, 0.02), as DCGAN's authors draw them."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
            nn.init.zeros_(layer.bias)


def _up(inputs: int, outputs: int, stride: int = 2, padding: int = 1) -> list[nn.Module]:
    convolution = nn.ConvTranspose2d(inputs, outputs, 4, stride, padding, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


def _down(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False)
