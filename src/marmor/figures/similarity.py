"""How alike pictures and sentences are, as a table of shades with the pictures above it."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from PIL import Image
from torch import Tensor

from marmor.figures.plots import new_figure, picture_of
from marmor.figures.style import INK, PAPER, SHADES, dress


def similarity(values: Tensor, images: Tensor, names: Sequence[str], title: str) -> Image.Image:
    """values (K, N): of K names to N images uint8 (N, 1 or 3, H, W); shades run from the least to the most.

    Raises ValueError where these do not fit together.
    """
    table = values.detach().cpu().numpy()
    if table.shape != (len(names), len(images)):
        raise ValueError(f"values are {table.shape}, expected ({len(names)}, {len(images)})")
    figure, axes = new_figure(2.2 + 0.62 * len(images), 1.9 + 0.5 * len(names))
    low, high = float(table.min()), float(table.max())
    axes.imshow(table, cmap=SHADES, vmin=low, vmax=high)
    for (row, column), value in np.ndenumerate(table):
        dark = value > low + 0.45 * (high - low)
        colour = PAPER if dark else INK
        axes.text(column, row, f"{value:.3f}", ha="center", va="center", color=colour, fontsize=8)
    _thumbnails(axes, images)
    dress(axes, title)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_xlim(-0.5, len(images) - 0.5)
    axes.set_ylim(len(names) - 0.5, -1.6)
    axes.set_xticks([])
    axes.set_yticks(range(len(names)), names)
    return picture_of(figure)


def _thumbnails(axes: Axes, images: Tensor) -> None:
    for column, image in enumerate(images):
        pixels = image.expand(3, -1, -1).permute(1, 2, 0).numpy()
        # The y axis points down, so that the lower edge comes first.
        axes.imshow(pixels, extent=(column - 0.45, column + 0.45, -0.6, -1.5), zorder=2)
