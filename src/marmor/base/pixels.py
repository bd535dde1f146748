"""The wall between files and networks: uint8 outside, float in [-1, 1] inside.

Nothing else in marmor normalises images.
"""

import torch
from torch import Tensor


def to_unit(images: Tensor, black: float = -1.0) -> Tensor:
    """uint8 in 0 … 255, any shape → float32 in [``black``, 1], the same shape."""
    if images.dtype != torch.uint8:
        raise TypeError(f"images outside the networks are uint8, not {images.dtype}")
    return images.to(torch.float32) / (255 / (1 - black)) + black


def to_bytes(images: Tensor, black: float = -1.0) -> Tensor:
    """float, nominally in [``black``, 1], any shape → uint8, rounded to the nearest grey level."""
    return ((images.float().clamp(black, 1) - black) * (255 / (1 - black))).round().to(torch.uint8)
