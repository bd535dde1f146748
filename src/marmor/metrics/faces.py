"""How many faces a detector finds: the HOG detector of dlib (Dalal & Triggs 2005; King 2015)."""

from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

from marmor.base.errors import UserError

ENLARGED = 256
"""Shorter side that images are enlarged to; the detector finds faces of 80 pixels and more."""


def can_detect() -> bool:
    """Whether the detector is installed (extra `faces`)."""
    return find_spec("dlib") is not None


def check_detector() -> None:
    """Raises UserError where the detector is not installed."""
    if not can_detect():
        raise UserError("faces are found by dlib; install it with: pip install 'marmor[faces]'")


def count_faces(images: Tensor) -> Tensor:
    """Faces found in each of uint8 images (N, C, H, W), C 1 or 3 → int64 (N,).

    Small images are enlarged bicubically. Raises UserError where dlib is not installed.
    """
    check_detector()
    import dlib

    detector = dlib.get_frontal_face_detector()  # pyright: ignore[reportAttributeAccessIssue]
    return torch.tensor([len(detector(_enlarged(image))) for image in images])


def _enlarged(image: Tensor) -> np.ndarray:
    """uint8 (C, H, W) → uint8 (H', W', 3), the shorter side ``ENLARGED`` or its own."""
    colour = image.expand(3, -1, -1)
    scale = ENLARGED / min(image.shape[1:])
    if scale > 1:
        wide = torch.nn.functional.interpolate(
            colour[None].float(), scale_factor=scale, mode="bicubic", align_corners=False
        )
        colour = wide[0].round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(colour.permute(1, 2, 0).numpy())
