"""Single answers of a classifier, each picture beside its most likely classes."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from marmor.figures.plots import DPI, picture_of
from marmor.figures.style import HAIRLINE, INK, MUTED, PALETTE, PAPER

ROOM = 1.5  # inches of height for a case
FULL = 1.16
"""Right edge of the bars' axes, where that of a sure answer is 1: percentages stand between."""


@dataclass(frozen=True)
class Case:
    """One picture, uint8 (1 or 3, H, W), and what was read.

    ``classes``: (name, probability), the likeliest first. ``truth``: the name of the class it shows, or None.
    """

    image: Tensor
    title: str
    classes: Sequence[tuple[str, float]]
    truth: str | None = None


def cases(columns: Sequence[tuple[str, Sequence[Case]]]) -> Image.Image:
    """Columns under their heads, a row for each case; bars of the true class are green, the others blue.

    Where the true class is not among those shown it stands above them. Raises ValueError for no cases.
    """
    rows = max((len(each) for _, each in columns), default=0)
    if not rows:
        raise ValueError("there are no cases to show")
    figure = Figure((5.4 * len(columns), 0.5 + ROOM * rows), dpi=DPI, facecolor=PAPER)
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.08)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(rows, 2 * len(columns), width_ratios=[1, 2] * len(columns))
    for place, (head, each) in enumerate(columns):
        for row, case in enumerate(each):
            shown = figure.add_subplot(grid[row, 2 * place])
            _picture(shown, case, head if row == 0 else "")
            _bars(figure.add_subplot(grid[row, 2 * place + 1]), case)
    return picture_of(figure)


def _picture(axes: Axes, case: Case, head: str) -> None:
    axes.imshow(case.image.expand(3, -1, -1).permute(1, 2, 0).numpy(), interpolation="nearest")
    axes.set_axis_off()
    if head:
        axes.set_title(head, loc="left", color=INK, fontsize=12, fontweight="bold", pad=10)


def _bars(axes: Axes, case: Case) -> None:
    for row, (name, value) in enumerate(case.classes):
        axes.barh(row, value, height=0.7, color=PALETTE[2 if name == case.truth else 5])
        axes.text(0.01, row, name, va="center", color=INK, fontsize=8.5)
        percent = f"{100 * value:.0f} %"
        axes.text(FULL, row, percent, va="center", ha="right", color=MUTED, fontsize=8)
    axes.set_xlim(0, FULL)
    axes.set_ylim(len(case.classes) - 0.4, -0.6)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor(PAPER)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.axvline(0, color=HAIRLINE, linewidth=0.8)
    hidden = case.truth is not None and case.truth not in [name for name, _ in case.classes]
    told = f"{case.title}; shows {case.truth}" if hidden else case.title
    axes.set_title(told, loc="left", color=MUTED, fontsize=8.5, pad=3)
