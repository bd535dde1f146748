"""Points of a plane in the colours of their groups."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from marmor.figures.plots import new_figure, picture_of
from marmor.figures.style import INK, PALETTE, dress

MARKERS = ("o", "^", "s", "D")
"""The palette comes round with another marker."""


def scatter(points: ArrayLike, groups: ArrayLike, names: Sequence[str], title: str) -> Image.Image:
    """Points (N, 2) of groups (N,), 0 … len(names) - 1, with a legend; axes mean nothing and have no numbers.

    Raises ValueError where points and groups differ in number.
    """
    places, which = np.asarray(points), np.asarray(groups)
    if len(places) != len(which):
        raise ValueError(f"{len(places)} points cannot be of {len(which)} groups")
    figure, axes = new_figure(7.4, 5.4)
    for index, name in enumerate(names):
        lap, colour = divmod(index, len(PALETTE))
        mine = places[which == index]
        axes.scatter(
            mine[:, 0],
            mine[:, 1],
            s=9,
            alpha=0.65,
            linewidths=0,
            color=PALETTE[colour],
            marker=MARKERS[lap % len(MARKERS)],
            label=name,
        )
    dress(axes, title)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(
        frameon=False,
        labelcolor=INK,
        fontsize=9,
        markerscale=2,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
    )
    return picture_of(figure)
