"""Accuracy and Fréchet distance over minutes of training, for several networks and seeds.

    python benchmarks/time_to_quality.py --data mnist-m.npz --judge runs/judge --minutes 3 10 30 --seeds 0 1 2

Each (network, minutes, seed) is a training run of its own, since the learning rate ends with the
budget. Guidance and steps are the network's committed defaults, chosen with other seeds and another
judge. Needs a machine with nothing else to do. Writes results.csv,
results.json and two pictures.
"""

import csv
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from marmor.base.files import write_json, write_text
from marmor.figures import curves, save_png
from marmor.recipes.digits import DigitsSettings, resume, train
from marmor.recipes.drawing import as_images, draw
from marmor.recipes.models import LoadedJudge, load_generator, load_judge
from marmor.recipes.scoring import accuracy, distance, judge_images
from marmor.training import RunFolder

SAMPLING_SEED = 1000


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Args:
        data: labelled images with a train and a test split.
        judge: the judge that reports; it chose nothing.
        minutes: budgets.
        seeds: of the training runs.
        networks: uvit, context-unet.
        per_class: samples of each class.
        out: folder for runs and results; runs in it are taken up where they stand.
    """

    data: str
    judge: str
    minutes: tuple[float, ...] = (3, 10, 30)
    seeds: tuple[int, ...] = (0, 1, 2)
    networks: tuple[str, ...] = ("uvit",)
    per_class: int = 100
    out: Path = Path("runs/time-to-quality")


def main(settings: Settings) -> None:
    judge = load_judge(settings.judge)
    rows = [
        measure(settings, judge, network, minutes, seed)
        for network in settings.networks
        for minutes in settings.minutes
        for seed in settings.seeds
    ]
    write_json(settings.out / "results.json", rows)
    text = io.StringIO()
    table = csv.DictWriter(text, fieldnames=list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    write_text(settings.out / "results.csv", text.getvalue())
    for figure in ("accuracy", "frechet_ratio"):
        save_png(draw_curve(rows, figure), settings.out / f"{figure}.png")


def measure(
    settings: Settings, judge: LoadedJudge, network: str, minutes: float, seed: int
) -> dict[str, float | str]:
    """One training run and what its samples are worth."""
    path = settings.out / f"{network}-{minutes:g}min-seed{seed}"
    if (path / "config.json").is_file():
        resume(RunFolder.open(path))
    else:
        train(DigitsSettings(settings.data, path, minutes, seed=seed, network=network))
    generator = load_generator(str(path))
    names = generator.class_names
    plain = replace(generator, drawing=replace(generator.drawing, guidance=1.0))
    images, unguided = (
        as_images(draw(model, names, settings.per_class, SAMPLING_SEED + seed), model)
        for model in (generator, plain)
    )
    reading = judge_images(judge, images)
    found = distance(judge, reading, settings.data, generator.image_shape[1])
    last = RunFolder(path).history()[-1]
    row = {
        "network": network,
        "minutes": minutes,
        "seed": seed,
        "accuracy": accuracy(judge, images, reading).overall.value,
        "unguided": accuracy(judge, unguided, judge_images(judge, unguided)).overall.value,
        "frechet": found.value,
        "frechet_floor": found.floor,
        "frechet_ratio": found.value / found.floor,
        "images_seen": last["images"],
        "images_per_second": last["images"] / last["seconds"],
    }
    print(json.dumps(row), flush=True)
    return row


def draw_curve(rows: list[dict[str, float | str]], figure: str):
    """One line a network and seed: the figure over minutes."""
    series: dict[str, tuple[list[float], list[float]]] = {}
    for row in rows:
        xs, ys = series.setdefault(f"{row['network']}, seed {row['seed']}", ([], []))
        xs.append(float(row["minutes"]))
        ys.append(float(row[figure]))
    return curves(series, "minutes of training", figure, figure.replace("_", " "))


if __name__ == "__main__":
    main(tyro.cli(Settings))
