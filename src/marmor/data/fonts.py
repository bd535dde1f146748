"""Digits of many typefaces, from packages whose licences allow any use.

| family | faces | package | licence |
|---|---|---|---|
| DejaVu Sans, Sans Mono, Serif | 11 | matplotlib | Bitstream Vera, public domain changes |
| STIX General | 4 | matplotlib | STIX Fonts User License |
| Amatic SC | 2 | font-amatic-sc | SIL OFL 1.1 |
| Caladea | 4 | font-caladea | Apache 2.0 |
| Fredoka One | 1 | font-fredoka-one | SIL OFL 1.1 |
| Hanken Grotesk | 5 | font-hanken-grotesk | SIL OFL 1.1 |
| Manrope | 4 | font-manrope | SIL OFL 1.1 |
| Open Sans | 6 | ttf-opensans | Apache 2.0 |
| Source Sans Pro | 6 | font-source-sans-pro | SIL OFL 1.1 |
| Source Serif Pro | 6 | font-source-serif-pro | SIL OFL 1.1 |
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from marmor.data.packaged import packaged

DIGIT_HEIGHT = 64
"""Pixels of a zero."""
CANVAS = 96
"""Side of the square on which a digit is drawn, its middle in the middle."""

_MATPLOTLIB = "mpl-data/fonts/ttf/"
_OBLIQUE = ("", "-Bold", "-Oblique", "-BoldOblique")
_ITALIC = ("Bold", "Italic", "BoldItalic")
_SOURCE = ("Light", "Regular", "Bold", "Black", "It", "BoldIt")


@dataclass(frozen=True)
class Family:
    """Faces of one design: ``file`` is their path in the package, {} the name of the face."""

    package: str
    file: str
    faces: tuple[str, ...]


_FAMILIES = (
    Family("matplotlib", _MATPLOTLIB + "DejaVuSans{}.ttf", _OBLIQUE),
    Family("matplotlib", _MATPLOTLIB + "DejaVuSansMono{}.ttf", _OBLIQUE),
    Family("matplotlib", _MATPLOTLIB + "DejaVuSerif{}.ttf", ("", "-Bold", "-Italic")),
    Family("matplotlib", _MATPLOTLIB + "STIXGeneral{}.ttf", ("", "Bol", "Italic", "BolIta")),
    Family("font_amatic_sc", "files/AmaticSC-{}.ttf", ("Regular", "Bold")),
    Family("font_caladea", "files/Caladea-{}.ttf", ("Regular", "Bold", "Italic", "BoldItalic")),
    Family("font_fredoka_one", "files/FredokaOne-{}.ttf", ("Regular",)),
    Family("font_hanken_grotesk", "files/HankenGrotesk-{}.otf", ("Light", "Medium", *_ITALIC)),
    Family("font_manrope", "files/Manrope-{}.ttf", ("Light", "Regular", "Bold", "ExtraBold")),
    Family("ttf_opensans", "ttf/OpenSans-{}.ttf", ("Light", "Regular", "ExtraBold", *_ITALIC)),
    Family("font_source_sans_pro", "files/SourceSansPro-{}.ttf", _SOURCE),
    Family("font_source_serif_pro", "files/SourceSerifPro-{}.ttf", _SOURCE),
)


@dataclass(frozen=True)
class Glyphs:
    """Digits of all faces.

    ``masks``: float32 (F, 10, 1, CANVAS, CANVAS) in [0, 1], 1 is ink; every zero is DIGIT_HEIGHT high
    and all stand on one line, the middle of the zero in the middle of the canvas.
    ``widths``: float32 (F, 10), in heights of a zero.
    ``shares``: float32 (F,), how often a face is to be drawn: families alike, faces of one alike.
    """

    masks: Tensor
    widths: Tensor
    shares: Tensor


@cache
def glyphs() -> Glyphs:
    """All digits of all faces; UserError where a package is not installed."""
    drawn = [
        _face(packaged(family.package, family.file.format(face)))
        for family in _FAMILIES
        for face in family.faces
    ]
    shares = [
        1 / (len(_FAMILIES) * len(family.faces)) for family in _FAMILIES for _ in family.faces
    ]
    return Glyphs(
        torch.stack([masks for masks, _ in drawn]),
        torch.stack([widths for _, widths in drawn]),
        torch.tensor(shares),
    )


def _face(path: Path) -> tuple[Tensor, Tensor]:
    """Masks (10, 1, CANVAS, CANVAS) and widths (10,) of one face."""
    top, bottom = ImageFont.truetype(path, 256).getbbox("0", anchor="ls")[1::2]
    font = ImageFont.truetype(path, round(256 * DIGIT_HEIGHT / (bottom - top)))
    baseline = CANVAS / 2 + DIGIT_HEIGHT / 2
    masks, widths = [], []
    for digit in "0123456789":
        left, _, right, _ = font.getbbox(digit, anchor="ls")
        canvas = Image.new("L", (CANVAS, CANVAS))
        where = (CANVAS / 2 - (left + right) / 2, baseline)
        ImageDraw.Draw(canvas).text(where, digit, fill=255, font=font, anchor="ls")
        masks.append(torch.from_numpy(np.asarray(canvas, np.float32) / 255)[None])
        widths.append((right - left) / DIGIT_HEIGHT)
    return torch.stack(masks), torch.tensor(widths)
