"""Augmentations for classifiers of digits: what changes an image's look and keeps its label."""

import torch
from torch import Tensor
from torch.nn import functional as F

ROTATION = 0.2
"""Radians."""
SCALE = 0.1
SHIFT = 0.07
"""Of half the image's side."""
NOISE = 0.1


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Random affine maps, contrast, brightness and noise, drawn per image.

    Args:
        images: (B, C, H, W) in [-1, 1].
        generator: the stream everything is drawn from.

    Returns images of the same shape; values may leave [-1, 1] slightly.
    """
    count = len(images)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator) * 2 - 1

    def per_image(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand((count, 1, 1, 1), generator=generator)

    angle, scale = uniform(count) * ROTATION, 1 + uniform(count) * SCALE
    shift = uniform(count, 2) * SHIFT
    rows = torch.stack(
        [
            torch.stack([angle.cos() / scale, -angle.sin() / scale, shift[:, 0]], dim=1),
            torch.stack([angle.sin() / scale, angle.cos() / scale, shift[:, 1]], dim=1),
        ],
        dim=1,
    )
    grid = F.affine_grid(rows, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    moved = moved * per_image(0.7, 1.3) + per_image(-0.2, 0.2)
    return moved + torch.randn(moved.shape, generator=generator) * per_image(0.0, NOISE)
