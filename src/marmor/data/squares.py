"""Centre crop to a square and antialiased resize."""

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Fit:
    """How images come to squares of a size.

    ``crop``: the largest centred square is kept; otherwise all of each image is, squashed.
    ``bicubic``: the filter is bicubic (a = -0.5), otherwise a triangle ("bilinear"); both are antialiased.
    """

    crop: bool = True
    bicubic: bool = False

    def __call__(self, images: Tensor, size: int) -> Tensor:
        """uint8 (N, C, H, W) → uint8 (N, C, size, size).

        In float and rounded, so that one image alone and the same image in a batch give the same bytes.
        """
        if self.crop:
            images = centre(images, min(images.shape[2:]))
        if images.shape[2:] == (size, size):
            return images
        block = max(1, VALUES_AT_ONCE // images[0].numel())
        resized = (self.resize(part.float(), size) for part in images.split(block))
        return torch.cat([part.round().clamp(0, 255).to(torch.uint8) for part in resized])

    def note(self, sizes: set[tuple[int, int]], size: int) -> str:
        """The sentence that says what was done to images of these (H, W)."""
        origin = size_text(*sizes) if len(sizes) == 1 else f"{len(sizes)} different sizes"
        done = "Centre-cropped to squares and resized" if self.crop else "Squashed, whole,"
        return f"{done} from {origin} to {size}×{size}."

    def resize(self, images: Tensor, size: int) -> Tensor:
        """Floats (N, C, H, W) → (N, C, size, size), all of each image; gradients pass."""
        mode = "bicubic" if self.bicubic else "bilinear"
        return F.interpolate(images, size=(size, size), mode=mode, antialias=True)


CROPPED = Fit()
SQUASHED = Fit(crop=False)


def size_text(size: tuple[int, int]) -> str:
    """(H, W) as people write it: width × height."""
    return f"{size[1]}×{size[0]}"
