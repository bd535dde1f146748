"""Accuracy and Fréchet distance over minutes of training, for several networks and seeds.

    python benchmarks/time_to_quality.py --data mnist-m.npz --judge runs/judge --minutes 3 10 30 --seeds 0 1 2

Each (network, minutes, seed) is a training run of its own, since the learning rate ends with the
budget. Guidance and steps are the network's committed defaults, chosen with other seeds and another
judge (benchmarks/guidance.py). Needs a machine with nothing else to do. Runs and rows that are there
already are kept. Writes results.json, results.csv and time-to-quality.png; with --beside also the rows that
another machine has written.
"""

import csv
import json
import platform
import statistics
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import tyro
from PIL import Image

from marmor.base.files import write_csv, write_json
from marmor.figures import curves, save_png, stack
from marmor.recipes.asking import ask_classes
from marmor.recipes.denoising import DiffusionGenerator
from marmor.recipes.digits import DigitsSettings, resume, train
from marmor.recipes.drawing import as_images, draw
from marmor.recipes.models import LoadedJudge, load_diffusion, load_judge
from marmor.recipes.scoring import accuracy, judge_images, real_features
from marmor.training import RunFolder

SAMPLING_SEED = 1000
LEGENDS = {
    "accuracy": "guided",
    "unguided": "without guidance",
    "frechet": "guided",
    "frechet_floor": "as many real images (floor)",
}
Row = dict[str, float | str]
features_once = cache(real_features)


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Args:
        data: labelled images with a train and a test split.
        judge: the judge that reports; it chose nothing.
        minutes: budgets.
        seeds: of the training runs.
        peer_seeds: of ContextUnet's.
        networks: uvit, context-unet.
        per_class: samples of each class.
        peer_per_class: samples of each class from ContextUnet, which takes half a second for each; the
            floor that stands beside its distance is that of as many real images.
        peer_steps: of DPM-Solver++ that draw them, along the published 400-step table with the published
            guidance; its own 400 steps of DDPM would take 12 s an image. 400: its own.
        machine: what this machine is called in the table; the processor's model when left out.
        beside: a results.csv of another machine, whose rows stand first.
        out: folder for runs and results; runs in it are taken up where they stand.
    """

    data: str
    judge: str
    minutes: tuple[float, ...] = (3, 10, 30)
    seeds: tuple[int, ...] = (0, 1, 2)
    peer_seeds: tuple[int, ...] = (0,)
    networks: tuple[str, ...] = ("uvit",)
    per_class: int = 100
    peer_per_class: int = 25
    peer_steps: int = 15
    machine: str = platform.processor() or platform.machine()
    beside: Path | None = None
    out: Path = Path("runs/time-to-quality")


def main(settings: Settings) -> None:
    judge = load_judge(settings.judge)
    rows = rows_of(settings.beside) if settings.beside else []
    rows += [
        {"machine": settings.machine} | kept_or_measured(settings, judge, network, minutes, seed)
        for network in settings.networks
        for minutes in settings.minutes
        for seed in (settings.seeds if network == "uvit" else settings.peer_seeds)
    ]
    write_json(settings.out / "results.json", rows)
    write_csv(settings.out / "results.csv", [rows[0].keys(), *(row.values() for row in rows)])
    save_png(picture(rows), settings.out / "time-to-quality.png")


def rows_of(path: Path) -> list[Row]:
    """Rows as an earlier call has written them, numbers as numbers."""
    with path.open(newline="") as file:
        return [{name: _number(cell) for name, cell in row.items()} for row in csv.DictReader(file)]


def _number(cell: str) -> float | str:
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell


def kept_or_measured(
    settings: Settings, judge: LoadedJudge, network: str, minutes: float, seed: int
) -> Row:
    """The row of an earlier call that drew and judged in the same way, or a new one."""
    path = settings.out / f"{network}-{minutes:g}min-seed{seed}"
    train_or_resume(settings, network, minutes, seed, path)
    generator = load_diffusion(str(path))
    if network != "uvit":
        generator = replace(generator, drawing=generator.drawing.within(settings.peer_steps))
    last = RunFolder(path).history()[-1]
    how = {
        "network": network,
        "minutes": minutes,
        "seed": seed,
        "data": settings.data,
        "judge": settings.judge,
        "per_class": settings.per_class if network == "uvit" else settings.peer_per_class,
        "drawing": repr(generator.drawing),
        "images_seen": last["images"],
        "images_per_second": last["images"] / last["seconds"],
    }
    kept = path / "row.json"
    if kept.is_file() and how.items() <= (row := json.loads(kept.read_text())).items():
        return row
    row = how | measure(generator, judge, settings.data, how["per_class"], SAMPLING_SEED + seed)
    write_json(kept, row)
    print(json.dumps(row), flush=True)
    return row


def train_or_resume(
    settings: Settings, network: str, minutes: float, seed: int, path: Path
) -> None:
    """Leaves a finished run at ``path``."""
    if (path / "config.json").is_file():
        resume(RunFolder.open(path))
    else:
        train(DigitsSettings(settings.data, path, minutes, seed=seed, network=network))


def measure(
    generator: DiffusionGenerator, judge: LoadedJudge, data: str, per_class: int, seed: int
) -> dict[str, float]:
    """What the samples of a model are worth."""
    plain = replace(generator, drawing=replace(generator.drawing, guidance=1.0))
    images, unguided = (
        as_images(draw(model, ask_classes(model, per_class), seed), model)
        for model in (generator, plain)
    )
    reading = judge_images(judge, images)
    found = features_once(judge, data, generator.image_shape[1]).distance(reading)
    return {
        "accuracy": accuracy(judge, images, reading).overall.value,
        "unguided": accuracy(judge, unguided, judge_images(judge, unguided)).overall.value,
        "frechet": found.value,
        "frechet_floor": found.floor,
        "frechet_ratio": found.value / found.floor,
    }


def series(rows: list[Row], columns: tuple[str, ...]) -> dict[str, tuple[list[float], list[float]]]:
    """For each network, machine and column the means over seeds, by minutes."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    for network, machine in dict.fromkeys((row["network"], row["machine"]) for row in rows):
        mine = [row for row in rows if (row["network"], row["machine"]) == (network, machine)]
        minutes = sorted({float(row["minutes"]) for row in mine})
        for column in columns:
            means = [
                statistics.mean(float(row[column]) for row in mine if row["minutes"] == at)
                for at in minutes
            ]
            found[f"{network} on {machine}, {LEGENDS[column]}"] = (minutes, means)
    return found


def picture(rows: list[Row]) -> Image.Image:
    """Accuracy above, the Fréchet distance and its floor below, over minutes; means over seeds."""
    panels = [
        curves(
            series(rows, ("accuracy", "unguided")),
            "minutes of training",
            "read as asked",
            "Accuracy",
        ),
        curves(
            series(rows, ("frechet", "frechet_floor")),
            "minutes of training",
            "distance",
            "Fréchet distance on judge features",
            logy=True,
        ),
    ]
    return stack(panels)


if __name__ == "__main__":
    main(tyro.cli(Settings))
