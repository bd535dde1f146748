"""Accuracy and Fréchet distance of a model over guidance scales, the times they act at, solvers and steps.

    python benchmarks/guidance.py --model runs/digits --judge pretrained:digit-judge --real mnist-m.npz

For choosing a design's defaults: give a judge and a seed that report nothing else. Prints a row for
each combination and writes guidance.csv.
"""

import csv
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import tyro

from marmor.data import DOMAIN
from marmor.recipes.asking import ask_classes
from marmor.recipes.denoising import DiffusionGenerator
from marmor.recipes.designs import Drawing, Solver
from marmor.recipes.drawing import as_images, draw
from marmor.recipes.models import LoadedJudge, load_diffusion, load_judge
from marmor.recipes.scoring import RealFeatures, accuracy, judge_images, real_features

WISHES = ("solver", "steps", "guidance", "guided_from", "guided_to")
FIGURES = ("accuracy", "frechet", "ratio", "seconds")


@dataclass(frozen=True)
class Settings:
    """What to try.

    Args:
        model: a run folder or pretrained:NAME.
        judge: the judge that chooses; another one reports.
        real: labelled real images with a train and a test split.
        domain: which of the domains that the model draws; none for a model of one.
        scales: of guidance; 1 is none.
        guided_from: guidance acts while t is at least this.
        guided_to: guidance acts while t is at most this.
        solvers: the model's own when left out; every one with each of ``steps``.
        steps: of the solver.
        per_class: images of each class.
        seed: of the images.
        out: the table.
    """

    model: str
    judge: str
    real: str
    domain: str | None = None
    scales: tuple[float, ...] = (1, 2, 3, 4)
    guided_from: tuple[float, ...] = (0.3, 0.5)
    guided_to: tuple[float, ...] = (1.0,)
    solvers: tuple[Solver, ...] = ()
    steps: tuple[int, ...] = (12,)
    per_class: int = 100
    seed: int = 5
    out: Path = Path("guidance.csv")


def main(settings: Settings) -> None:
    generator, judge = load_diffusion(settings.model), load_judge(settings.judge)
    real = real_features(judge, settings.real, generator.image_shape[1])
    with settings.out.open("w", newline="") as file:
        table: csv.DictWriter[str] = csv.DictWriter(file, fieldnames=(*WISHES, *FIGURES))
        table.writeheader()
        for drawing in drawings(settings, generator.drawing):
            row = measure(settings, replace(generator, drawing=drawing), judge, real)
            table.writerow(row)
            file.flush()
            print(*(f"{name} {_short(value)}" for name, value in row.items()), sep="  ", flush=True)


def measure(
    settings: Settings, model: DiffusionGenerator, judge: LoadedJudge, real: RealFeatures
) -> dict[str, float | str]:
    """What the images of one way of drawing are worth."""
    began = time.monotonic()
    others = {} if settings.domain is None else {DOMAIN: [settings.domain]}
    drawn = draw(model, ask_classes(model, settings.per_class, others=others), settings.seed)
    seconds = time.monotonic() - began
    images = as_images(drawn, model)
    reading = judge_images(judge, images)
    found = real.distance(reading)
    share = accuracy(judge, images, reading).overall.value
    wishes = {name: getattr(model.drawing, name) for name in WISHES}
    figures = (share, found.value, found.value / found.floor, seconds)
    return wishes | dict(zip(FIGURES, figures, strict=True))


def drawings(settings: Settings, drawing: Drawing) -> Iterator[Drawing]:
    """Every combination once; without guidance the times it would act at make no difference."""
    ways = product(settings.solvers or (drawing.solver,), settings.steps)
    grid = product(ways, settings.scales, settings.guided_from, settings.guided_to)
    for (solver, steps), scale, low, high in grid:
        if scale != 1 or (low, high) == (settings.guided_from[0], settings.guided_to[0]):
            way = replace(drawing, solver=solver, steps=steps, guidance=scale)
            yield replace(way, guided_from=low, guided_to=high)


def _short(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


if __name__ == "__main__":
    main(tyro.cli(Settings))
