"""Pictures as text: PNG data URIs with the size at which a page shows them."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from marmor.base.errors import UserError

SCREEN = 96  # pixels per inch that a browser takes for one CSS pixel each
SMALL = 320  # CSS pixels that fit on a phone unshrunk: shrinking without smoothing tears labels
LEAST = 224  # CSS pixels to which smaller pictures are enlarged, by whole numbers


@dataclass(frozen=True)
class Embedded:
    """A PNG as a data URI, its size in CSS pixels, and whether its pixels stay sharp squares."""

    uri: str
    width: int
    height: int
    pixelated: bool


def embed(picture: Image.Image | Path) -> Embedded:
    """A picture, or the file of one, ready for an ``img`` element.

    A density above the screen's (``info["dpi"]``) makes the shown size smaller. Raises UserError
    for a file that is missing or no picture.
    """
    image = _open(picture) if isinstance(picture, Path) else picture
    density = max(1.0, round(float(image.info.get("dpi", (SCREEN, SCREEN))[0])) / SCREEN)
    width, height = round(image.width / density), round(image.height / density)
    enlarge = max(1, LEAST // width)
    return Embedded(
        uri=f"data:image/png;base64,{base64.b64encode(_png(image)).decode('ascii')}",
        width=width * enlarge,
        height=height * enlarge,
        pixelated=density == 1 and width <= SMALL,
    )


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except FileNotFoundError:
        raise UserError(f"the picture {path} does not exist.") from None
    except (OSError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be read as a picture: {error}.") from error


def _png(image: Image.Image) -> bytes:
    # PNG has no CMYK, YCbCr or float pixels; palettes and alpha it keeps.
    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
        image = image.convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
