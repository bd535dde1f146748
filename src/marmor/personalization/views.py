"""A few photos seen in many ways, so that a word does not learn their framing."""

import torch
from torch import Tensor
from torch.nn import functional as F

SMALLEST_CROP = 0.8
"""The usual narrowest crop, as a share of the side."""


def views(
    images: Tensor, generator: torch.Generator, mirror: bool = True, smallest: float = SMALLEST_CROP
) -> Tensor:
    """Random square crops brought back to size, half of them mirrored where asked; (B, C, S, S) of any range.

    ``smallest``: the narrowest crop, as a share of the side, in (0, 1]; 1 is the whole photo. The crops are
    the same with and without ``mirror``.
    """
    count = len(images)
    share, across, down, side = torch.rand((4, count), generator=generator)
    zoom = smallest + (1 - smallest) * share
    mirrored = torch.where(side < 0.5 * mirror, -1.0, 1.0)
    zero = torch.zeros(count)
    rows = torch.stack(
        [
            torch.stack([zoom * mirrored, zero, (2 * across - 1) * (1 - zoom)], 1),
            torch.stack([zero, zoom, (2 * down - 1) * (1 - zoom)], 1),
        ],
        dim=1,
    )
    grid = F.affine_grid(rows, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
