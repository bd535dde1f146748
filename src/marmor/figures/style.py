"""The one look of every figure: paper, ink, a palette for colour-blind people, one font."""

import textwrap
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from PIL import ImageFont

PAPER = "#fdfcfa"
INK = "#24272b"
MUTED = "#6b6f76"
HAIRLINE = "#dcd9d3"
TITLE: dict[str, Any] = {"color": INK, "fontsize": 12, "fontweight": "bold"}
LETTERS_AN_INCH = 8  # of a bold title

# Okabe & Ito 2008, "Color Universal Design", without its yellow, which paper swallows.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#4d4d4d")

# From paper to the palette's blue, darkened: lightness alone carries the value.
SHADES = LinearSegmentedColormap.from_list("marmor", [PAPER, "#7fb4d6", "#0072b2", "#003b5c"])


@lru_cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings along and uses in the plots.

    Pillow's own default font lacks Greek letters and arrows: no "η = 0.5", no "1000 → 0".
    """
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / "DejaVuSans.ttf"), size)


def wrapped(title: str, width: float) -> str:
    """In as many lines as it takes above a figure of ``width`` inches, row labels beside it."""
    return textwrap.fill(title, round(LETTERS_AN_INCH * width))


def dress(axes: Axes, title: str, xlabel: str = "", ylabel: str = "") -> None:
    """Title at the left, two quiet axes, muted labels."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    title = wrapped(title, figure.get_figwidth())
    axes.set_title(title, loc="left", pad=14, **TITLE)
    axes.set_xlabel(xlabel, color=MUTED, fontsize=10, labelpad=8)
    axes.set_ylabel(ylabel, color=MUTED, fontsize=10, labelpad=8)
    axes.tick_params(colors=MUTED, labelsize=9, length=0, pad=6, which="both")
    axes.set_facecolor(PAPER)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(HAIRLINE)
