"""Centre crop to a square and antialiased resize."""

import torch
import torch.nn.functional as F
from torch import Tensor

from marmor.base.errors import UserError

# Float copies are made for this many values at a time (64 MiB), however large the set.
VALUES_AT_ONCE = 1 << 24


class MixedSizesError(UserError):
    """The images of one set differ in size, and no common size was asked for."""


def centre(images: Tensor, side: int) -> Tensor:
    """(N, C, H, W) → the central (N, C, side, side); ``side`` is at most H and W."""
    height, width = images.shape[2:]
    top, left = (height - side) // 2, (width - side) // 2
    return images[:, :, top : top + side, left : left + side].contiguous()


def to_squares(images: Tensor, size: int) -> Tensor:
    """uint8 (N, C, H, W) → uint8 (N, C, size, size).

    The largest centred square is resized with an antialiased triangle filter ("bilinear"), in
    float and rounded, so that one image alone and the same image in a batch give the same bytes.
    """
    side = min(images.shape[2:])
    cropped = centre(images, side)
    if side == size:
        return cropped
    block = max(1, VALUES_AT_ONCE // (cropped.shape[1] * side * side))
    return torch.cat([_resize(part, size) for part in cropped.split(block)])


def squashed(images: Tensor, size: int) -> Tensor:
    """uint8 (N, C, H, W) → uint8 (N, C, size, size), the whole of each image: nothing is cut off."""
    return images if images.shape[2:] == (size, size) else _resize(images, size)


def resize_note(sizes: set[tuple[int, int]], size: int, cropped: bool = True) -> str:
    """The sentence that says what ``to_squares``, or ``squashed``, did to images of these (H, W)."""
    origin = size_text(*sizes) if len(sizes) == 1 else f"{len(sizes)} different sizes"
    done = "Centre-cropped to squares and resized" if cropped else "Squashed, whole,"
    return f"{done} from {origin} to {size}×{size}."


def size_text(size: tuple[int, int]) -> str:
    """(H, W) as people write it: width × height."""
    return f"{size[1]}×{size[0]}"


def _resize(images: Tensor, size: int) -> Tensor:
    resized = F.interpolate(images.float(), size=(size, size), mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)
