"""The wall between files and networks: uint8 outside, float in [-1, 1] inside.

Nothing else in marmor normalises images.
"""

import torch
from torch import Tensor


def to_unit(images: Tensor) -> Tensor:
    """uint8 in 0 … 255, any shape → float32 in [-1, 1], the same shape."""
    if images.dtype != torch.uint8:
        raise TypeError(f"images outside the networks are uint8, not {images.dtype}")
    return images.to(torch.float32) / 127.5 - 1


def to_bytes(images: Tensor) -> Tensor:
    """float, nominally in [-1, 1], any shape → uint8, rounded to the nearest grey level."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
