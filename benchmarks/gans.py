"""Four GANs at equal minutes: one table and one picture, as `marmor compare` makes them.

    python benchmarks/gans.py --data faces64_train.zip --real faces64_val.zip --seeds 0 1 2 --faces

Trains each objective with each seed, draws from it, and holds all of one seed against the real images, the
default first: differences are to it. Needs a machine with nothing else to do. What is finished is kept: the
same command goes on where it stopped. Writes a folder for each seed with table.txt, table.csv, summary.json,
comparison.png, and first-32.png with the first images of all of them, side by side.
"""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro

from kept import Kept
from marmor.base.progress import console
from marmor.figures import save_png, side_by_side, stack
from marmor.recipes.asking import ask_in_all
from marmor.recipes.comparing import compare
from marmor.recipes.drawing import draw_with_bar, write_images
from marmor.recipes.evaluating import EvaluationSettings
from marmor.recipes.gan_faces import GanSettings, resume, train
from marmor.recipes.gan_reporting import first_images
from marmor.recipes.models import load_generator
from marmor.training import RunFolder

SAMPLING_SEED = 1000
ROW = 2
"""Grids beside each other in the picture of first images."""


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Args:
        data: images to train on.
        real: held-out images that samples are compared with.
        minutes: of training, for each.
        seeds: of the training runs.
        objectives: the first is what the others are compared with.
        count: samples of each.
        size: side of the images.
        features: what measures distances, as `marmor evaluate` takes it.
        faces: also count faces; pip install 'marmor[faces]'.
        out: folder for runs, samples and tables.
    """

    data: str
    real: str
    minutes: float = 30.0
    seeds: tuple[int, ...] = (0,)
    objectives: tuple[str, ...] = ("r3gan", "dcgan", "wgan", "wgan-gp")
    count: int = 2000
    size: int = 64
    features: str | None = None
    faces: bool = False
    out: Path = Path("runs/benchmark-gans")


def main(settings: Settings) -> None:
    told = asdict(settings)
    # Runs of another budget or other images are not gone on with; more seeds may be added.
    Kept(settings.out, {name: told[name] for name in ("data", "minutes", "size", "count")})
    for seed in settings.seeds:
        folder = settings.out / f"seed-{seed}"
        runs = [trained(settings, folder, name, seed) for name in settings.objectives]
        samples = [drawn(settings, run, seed) for run in runs]
        how = EvaluationSettings(
            settings.real, settings.features, training=settings.data, faces=settings.faces
        )
        compare([str(each) for each in samples], how, folder)
        grids = [first_images(load_generator(str(run)), SAMPLING_SEED + seed) for run in runs]
        rows = [
            side_by_side(grids[first : first + ROW], settings.objectives[first : first + ROW])
            for first in range(0, len(grids), ROW)
        ]
        save_png(stack(rows), folder / "first-32.png")
        console.print(f"written: {folder / 'first-32.png'}")


def trained(settings: Settings, folder: Path, objective: str, seed: int) -> Path:
    """A finished run."""
    path = folder / "runs" / objective
    if (path / "config.json").is_file():
        resume(RunFolder.open(path))
    else:
        train(
            GanSettings(
                settings.data,
                path,
                objective,
                minutes=settings.minutes,
                seed=seed,
                size=settings.size,
            )
        )
    return path


def drawn(settings: Settings, run: Path, seed: int) -> Path:
    """A folder of its samples, drawn anew where there are not as many as wanted."""
    folder = run.parent.parent / "samples" / run.name
    if len(list(folder.glob("*.png"))) != settings.count:
        shutil.rmtree(folder, ignore_errors=True)
        generator = load_generator(str(run))
        asks = ask_in_all(generator, settings.count)
        write_images(draw_with_bar(generator, asks, SAMPLING_SEED + seed, "auto"), folder)
    return folder


if __name__ == "__main__":
    main(tyro.cli(Settings))
