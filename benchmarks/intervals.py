"""Are the intervals of `marmor evaluate` as wide as they should be?

    python benchmarks/intervals.py

Draws two sets of normal features again and again, once of one distribution and once of two, and holds the
spread that the intervals tell against that of the figures over the draws. Writes table.txt, table.csv and
results.json.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from scipy.stats import t
from torch import Tensor

from marmor.base.files import write_json
from marmor.base.progress import progress_bar
from marmor.base.seeds import torch_stream
from marmor.metrics import Figure, figures, frechet_distances, kernel_distance, manifold
from marmor.metrics.splits import FREEDOM
from marmor.recipes.tables import show_table

MEASURES = (
    "Fréchet, plain",
    "Fréchet, extrapolated",
    "kernel distance",
    "precision",
    "recall",
    "density",
    "coverage",
)
APART = {"alike": 0.0, "apart": 0.5}
"""By how much the second set lies apart from the first, in each dimension, in standard deviations."""
COLUMNS = ("sets", "measure", "true spread", "told, of the true", "intervals that hold the mean")


@dataclass(frozen=True)
class Settings:
    """What to draw.

    Args:
        draws: of both sets.
        count: features in each.
        dimensions: of a feature.
        out: folder for the table.
    """

    draws: int = 60
    count: int = 300
    dimensions: int = 8
    out: Path = Path("runs/benchmark-intervals")


def main(settings: Settings) -> None:
    results, rows = {}, []
    for name, apart in APART.items():
        drawn = all_figures(settings, apart, name)
        for measure, found in zip(MEASURES, zip(*drawn, strict=True), strict=True):
            true, told, held = judged(found)
            results[f"{name}.{measure}"] = {"true": true, "told": told, "held": held}
            rows.append([name, measure, f"{true:.3g}", f"{told:.2f}", f"{100 * held:.0f} %"])
    many = f"{settings.draws} draws of {settings.count} normal features"
    caption = f"{many} in {settings.dimensions} dimensions."
    show_table(COLUMNS, rows, settings.out, caption)
    write_json(settings.out / "results.json", results)


def all_figures(settings: Settings, apart: float, name: str) -> list[list[Figure]]:
    """Every measure of every draw."""
    drawn = []
    with progress_bar(name) as bar:
        for draw in range(settings.draws):
            stream = torch_stream(draw, name)
            shape = (2, settings.count, settings.dimensions)
            a, b = torch.randn(shape, generator=stream, dtype=torch.float64)
            drawn.append(figures(measured, a, b + apart, seed=draw))
            bar((draw + 1) / settings.draws)
    return drawn


def measured(a: Tensor, b: Tensor) -> tuple[float, ...]:
    """What `marmor evaluate` measures of two sets of features, in the order of ``MEASURES``."""
    return (*frechet_distances(a, b), kernel_distance(a, b), *manifold(a, b))


def judged(found: Sequence[Figure]) -> tuple[float, float, float]:
    """Of one measure: its spread over the draws, the told one over it, how many intervals hold its mean."""
    values = [figure.value for figure in found]
    mean, true = statistics.fmean(values), statistics.stdev(values)
    told = [(figure.high - figure.low) / (2 * t.ppf(0.975, FREEDOM)) for figure in found]
    held = statistics.fmean(figure.low <= mean <= figure.high for figure in found)
    return true, statistics.fmean(each**2 for each in told) ** 0.5 / true, held


if __name__ == "__main__":
    main(tyro.cli(Settings))
