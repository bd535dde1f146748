"""How right a classifier is against how sure it is."""

from collections.abc import Sequence

from matplotlib.ticker import PercentFormatter
from PIL import Image

from marmor.figures.plots import new_figure, picture_of
from marmor.figures.style import HAIRLINE, INK, PALETTE, dress


def reliability(
    confidences: Sequence[float],
    accuracies: Sequence[tuple[float, float, float]],
    title: str,
) -> Image.Image:
    """A point for each group of answers: mean confidence, and (accuracy, low, high), all in [0, 1].

    On the diagonal confidence is right; below it the classifier is too sure. Raises ValueError where the two
    differ in number.
    """
    if len(confidences) != len(accuracies):
        raise ValueError(f"{len(confidences)} confidences for {len(accuracies)} accuracies")
    figure, axes = new_figure(5.2, 4.9)
    axes.plot([0, 1], [0, 1], color=HAIRLINE, linewidth=1.4)
    for confidence, (value, low, high) in zip(confidences, accuracies, strict=True):
        axes.plot([confidence] * 2, [low, high], color=INK, linewidth=1.2, solid_capstyle="butt")
        axes.plot(confidence, value, marker="o", color=PALETTE[0], ms=6)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_aspect("equal")
    dress(axes, title, "how sure: probability of the class read", "how often right")
    return picture_of(figure)
