"""The table of benchmarks/gans.py: a row for each run, and the means over seeds."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PEER = "dcgan"
"""Whose distance the others are told as a share of."""
TITLES = {
    "minutes": "minutes",
    "retreats": "sent back",
    "train.images_per_second": "trained, images/s",
    "sample.images_per_second": "drawn, images/s",
    "frechet": "Fréchet distance",
    "frechet.ratio": f"/ {PEER}'s",
    "frechet.extrapolated": "extrapolated",
    "frechet.extrapolated.ratio": f"extrapolated / {PEER}'s",
    "precision": "precision",
    "recall": "recall",
    "faces.share": "one face",
    "faces.share.ratio": "/ real images' share",
}
"""What is told of a run, and how a column of it is headed."""
COLUMNS = ("model", "seed", *TITLES.values())


@dataclass(frozen=True)
class Row:
    """What is known of one run: ``figures`` by the names of ``TITLES``, some of which may be missing."""

    model: str
    seed: int
    figures: dict[str, float]


def quality(
    summary: Mapping[str, float], peer: Mapping[str, float] | None = None
) -> dict[str, float]:
    """What `marmor compare` says of a set of images, in the names of ``TITLES``.

    ``summary``: its part of summary.json; ``peer``: that of what distances are told as a share of.
    """
    told = {name: summary[name] for name in ("precision", "recall")}
    distance = _distance_in(summary)
    for name in ("frechet", "frechet.extrapolated"):
        key = name.replace("frechet", distance)
        told[name] = summary[key]
        if peer is not None:
            told[f"{name}.ratio"] = summary[key] / peer[key]
    if "faces.share" in summary:
        told["faces.share"] = summary["faces.share"]
        told["faces.share.ratio"] = summary["faces.share"] / summary["faces.share.real"]
    return told


def cells_of(rows: Sequence[Row]) -> list[list[str]]:
    """The table: the runs of each model by seed, and behind several of them their mean."""
    cells = []
    for model in dict.fromkeys(row.model for row in rows):
        mine = [row for row in rows if row.model == model]
        cells += [[model, str(row.seed), *_numbers(row.figures)] for row in mine]
        if len(mine) > 1:
            cells.append([model, "mean", *_numbers(mean_of(mine))])
    return cells


def mean_of(rows: Sequence[Row]) -> dict[str, float]:
    """Of each figure that all rows have; that of ratios is the mean of the seeds' own ratios."""
    shared = set.intersection(*(set(row.figures) for row in rows))
    return {
        name: statistics.fmean(row.figures[name] for row in rows)
        for name in TITLES
        if name in shared
    }


def _distance_in(summary: Mapping[str, object]) -> str:
    """``frechet.FEATURES``, as this summary calls it."""
    end = ".extrapolated"
    return next(name.removesuffix(end) for name in summary if name.endswith(end))


def _numbers(figures: Mapping[str, float]) -> list[str]:
    return [f"{figures[name]:.3g}" if name in figures else "–" for name in TITLES]
