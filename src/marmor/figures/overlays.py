"""Maps of weights laid over the picture that they speak of."""

from collections.abc import Mapping

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from marmor.figures.pictures import strip
from marmor.figures.style import SHADES

SEEN = 0.3
"""How much of the picture is seen through the map."""


def overlays(
    image: Tensor, maps: Mapping[str, Tensor], scale: int = 2, of: str = "image"
) -> Image.Image:
    """A picture, uint8 (1 or 3, H, W), and beside it each map (h, w), coloured, over the picture in grey.

    Each map is stretched from its least to its largest value, light to dark, so maps can be compared in where
    they look and not in how much. Raises ValueError for no maps.
    """
    if not maps:
        raise ValueError("there are no maps to show")
    colour = image.expand(3, -1, -1)
    frames = [colour, *(_over(colour, each) for each in maps.values())]
    return strip(torch.stack(frames), [of, *maps], scale)


def _over(image: Tensor, weights: Tensor) -> Tensor:
    """uint8 (3, H, W)."""
    size = image.shape[1:]
    wide = F.interpolate(weights.float()[None, None], size, mode="bilinear", align_corners=False)[
        0, 0
    ]
    low, high = wide.min(), wide.max()
    stretched = (wide - low) / (high - low).clamp(min=torch.finfo(torch.float32).tiny)
    shades = torch.from_numpy(SHADES(stretched.numpy())[..., :3]).permute(2, 0, 1) * 255
    grey = image.float().mean(0, keepdim=True)
    return (SEEN * grey + (1 - SEEN) * shades).round().clamp(0, 255).to(torch.uint8)
