"""Curves, confusion matrices and bars with intervals, drawn by matplotlib's objects.

Nothing here touches pyplot or any other global state. Every function returns an RGB picture of
twice the density of a screen, and says so in ``image.info["dpi"]``.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter
from numpy.typing import ArrayLike
from PIL import Image
from torch import Tensor

from marmor.figures.style import HAIRLINE, INK, PALETTE, PAPER, SHADES, TITLE, dress, wrapped

DPI = 192
WIDTH = 6.6  # inches
DOTTED = 12  # points up to which each of them is marked
DASHES = ("-", "--", ":")  # the palette comes round with another dash
ROOM = 6  # lines up to which the legend has room inside the plot
NUMBERED = 24  # classes up to which a confusion matrix has room for its numbers


def curves(
    series: Mapping[str, tuple[ArrayLike, ArrayLike]],
    xlabel: str,
    ylabel: str,
    title: str,
    logx: bool = False,
    logy: bool = False,
) -> Image.Image:
    """One line per name over its (xs, ys); a legend where there are several. nan leaves a hole.

    A few points are marked, many are not. Of many lines the legend stands beside the plot. On a
    logarithmic x every x is written out, so there may be few.
    """
    crowded = len(series) > ROOM
    figure, axes = new_figure(9.0, 4.6) if crowded else new_figure(WIDTH, 3.8)
    for index, (name, (xs, ys)) in enumerate(series.items()):
        lap, colour = divmod(index, len(PALETTE))
        dash = DASHES[lap % len(DASHES)]
        marker = "o" if np.size(xs) <= DOTTED else ""
        axes.plot(xs, ys, marker=marker, ls=dash, label=name, color=PALETTE[colour], lw=1.8, ms=4)
    if logx:
        axes.set_xscale("log")
        marks = np.unique(np.concatenate([np.asarray(xs) for xs, _ in series.values()]))
        axes.set_xticks(marks, [f"{mark:g}" for mark in marks])
        axes.xaxis.set_minor_locator(NullLocator())
    if logy:
        axes.set_yscale("log")
    dress(axes, title, xlabel, ylabel)
    axes.grid(axis="y", color=HAIRLINE, linewidth=0.7)
    axes.margins(x=0.02)
    if len(series) > 1:
        beside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)} if crowded else {}
        axes.legend(frameon=False, labelcolor=INK, fontsize=9, **beside)
    return picture_of(figure)


def confusion(
    matrix: Tensor | ArrayLike,
    class_names: Sequence[str],
    title: str,
    xlabel: str = "class read",
    ylabel: str = "class asked for",
) -> Image.Image:
    """Counts (K, K) as numbers on colours that show the share of their row.

    A row without counts stays blank. Raises ValueError where there is not one name per class.
    """
    counts = np.asarray(matrix)
    classes = len(class_names)
    if counts.shape != (classes, classes):
        raise ValueError(
            f"matrix must be ({classes}, {classes}) like its names, not {counts.shape}"
        )
    totals = counts.sum(1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    cell = 0.44 if classes <= NUMBERED else 0.44 * NUMBERED / classes
    figure, axes = new_figure(1.9 + cell * classes, 1.5 + cell * classes)
    axes.imshow(shares, cmap=SHADES, vmin=0, vmax=1)
    dress(axes, title, xlabel, ylabel)
    axes.spines[["left", "bottom"]].set_visible(False)
    upright = max(map(len, class_names), default=0) <= 3
    axes.set_xticks(range(classes), class_names, rotation=0 if upright else 90)
    axes.set_yticks(range(classes), class_names)
    if classes <= NUMBERED:
        _number(axes, counts, shares)
    return picture_of(figure)


def bars(
    labels: Sequence[str],
    shares: Sequence[tuple[float, float, float]],
    title: str,
    xlabel: str = "",
) -> Image.Image:
    """A bar per label for its (value, low, high) in [0, 1], with the interval drawn on it.

    A value of nan (nothing was counted) leaves its row empty. Raises ValueError where labels and
    shares differ in number.
    """
    if len(labels) != len(shares):
        raise ValueError(f"{len(labels)} labels cannot name {len(shares)} shares")
    figure, axes = new_figure(WIDTH, 1.3 + 0.32 * len(labels))
    for row, (value, low, high) in enumerate(shares):
        if np.isnan(value):
            continue
        axes.barh(row, value, height=0.62, color=PALETTE[5])
        axes.plot([low, high], [row, row], color=INK, linewidth=1.4, solid_capstyle="butt")
        text = f"{100 * value:.1f} %"
        axes.text(1.02, row, text, va="center", color=INK, fontsize=9, clip_on=False)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    dress(axes, title, xlabel)
    axes.set_axisbelow(True)
    axes.grid(axis="x", color=HAIRLINE, linewidth=0.7)
    axes.spines["bottom"].set_visible(False)
    return picture_of(figure)


def intervals(
    labels: Sequence[str], values: Sequence[tuple[float, float, float]], title: str
) -> Image.Image:
    """A point per label for its (value, low, high), with the interval as a line; 0 is always shown.

    Raises ValueError where labels and values differ in number.
    """
    if len(labels) != len(values):
        raise ValueError(f"{len(labels)} labels cannot name {len(values)} values")
    lines = wrapped(title, WIDTH).count("\n")
    figure, axes = new_figure(WIDTH, 1.1 + 0.25 * lines + 0.32 * len(labels))
    for row, (value, low, high) in enumerate(values):
        axes.plot([low, high], [row, row], color=INK, linewidth=1.4, solid_capstyle="butt")
        axes.plot(value, row, marker="o", color=PALETTE[0], ms=6)
        axes.text(
            1.02,
            row,
            f"{value:.4g}",
            va="center",
            color=INK,
            fontsize=9,
            clip_on=False,
            transform=axes.get_yaxis_transform(),
        )
    axes.axvline(0, color=HAIRLINE, linewidth=0.7)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    dress(axes, "")
    # Above the labels too, which may be long.
    figure.suptitle(wrapped(title, WIDTH), x=0.02, ha="left", **TITLE)
    axes.locator_params(axis="x", nbins=6)
    axes.grid(axis="x", color=HAIRLINE, linewidth=0.7)
    return picture_of(figure)


def _number(axes: Axes, counts: np.ndarray, shares: np.ndarray) -> None:
    for (row, column), count in np.ndenumerate(counts):
        dark = shares[row, column] > 0.45
        colour = HAIRLINE if count == 0 else PAPER if dark else INK
        axes.text(column, row, f"{count:g}", ha="center", va="center", color=colour, fontsize=9)


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Inches at the density of a screen, 96 to the inch."""
    figure = Figure((width, height), dpi=DPI, facecolor=PAPER)
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.12)
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def picture_of(figure: Figure) -> Image.Image:
    """The drawn figure, which says its density."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    picture.info["dpi"] = (DPI, DPI)
    return picture
