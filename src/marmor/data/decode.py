"""Image files to pixels: 8 bits, grey or RGB, upright, opaque; every conversion is remarked."""

import io
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from marmor.base.errors import UserError

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
)
# Only these decoders see strangers' files: Pillow would hand EPS to Ghostscript, for one.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
REMARK = "marmor"
"""The PNG text under which marmor keeps what must be known of a picture; it is remarked like a conversion."""
SIXTEEN = "16 bits per channel were reduced to the upper 8."


class Picture(NamedTuple):
    """One decoded image: uint8 (H, W, C) with C 1 or 3, and what was converted or must be known."""

    pixels: np.ndarray
    remarks: tuple[str, ...]


def is_image(name: str) -> bool:
    """Whether a file name ends like an image that ``decode`` reads."""
    return PurePath(name).suffix.lower() in IMAGE_SUFFIXES


def read_picture(path: Path) -> Tensor:
    """One image file as uint8 (C, H, W), C 1 or 3; UserError where it is missing or damaged."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    return torch.from_numpy(decode(data, str(path)).pixels).permute(2, 0, 1).contiguous()


def decode(data: bytes, where: str) -> Picture:
    """The image in ``data``. ``where`` names it in the UserError raised for a file that is damaged,
    no image, or holds more than 16 bits a value.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            remarks = _container_remarks(image)
            image.load()
            upright = ImageOps.exif_transpose(image)
    except Exception as error:  # a damaged file raises anything from OSError to SyntaxError
        unknown = isinstance(error, UnidentifiedImageError)
        why = f"expected {', '.join(_FORMATS)}" if unknown else error
        raise UserError(
            f"{where} cannot be read as an image ({why}); replace or remove this file."
        ) from error
    if upright.mode == "I" and image.format == "PPM":
        # Of more than 8 bits a value, which Pillow has brought to 16.
        upright = Image.fromarray((np.array(upright) >> 8).astype(np.uint8))
        remarks = tuple(dict.fromkeys((SIXTEEN, *remarks)))
    if upright.mode in ("I", "F"):
        raise UserError(
            f"{where} has 32 bits per pixel (mode {upright.mode}), expected 8; "
            "convert it to 8-bit grey or RGB first."
        )
    plain, conversions = _opaque(upright)
    pixels = np.array(plain)
    return Picture(pixels[..., None] if pixels.ndim == 2 else pixels, remarks + conversions)


def _container_remarks(image: Image.Image) -> tuple[str, ...]:
    remarks = []
    # Pillow reduces 16-bit colour while it loads; only the raw mode before loading tells.
    if ";16" in str(getattr(image, "tile", "")) or image.mode.startswith("I;16"):
        remarks.append(SIXTEEN)
    # MPO is how phones store a JPEG with a preview.
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        remarks.append("of several frames only the first was read.")
    if isinstance(said := image.info.get(REMARK), str):
        remarks.append(said)
    return tuple(remarks)


def _opaque(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    """Mode L or RGB, with what had to be done for it."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.array(image) >> 8).astype(np.uint8)), ()
    if image.has_transparency_data:
        return _on_white(image)
    if image.mode in ("L", "RGB"):
        return image, ()
    if image.mode == "1":
        return image.convert("L"), ()
    if image.mode == "P":
        return image.convert("RGB"), ()
    return image.convert("RGB"), (f"{image.mode} was converted to RGB.",)


def _on_white(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    grey = image.mode in ("L", "LA", "1")
    layered = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    flat = Image.alpha_composite(white, layered).convert("L" if grey else "RGB")
    lowest = layered.getchannel("A").getextrema()[0]
    return flat, () if lowest == 255 else ("transparency was composited on white.",)
