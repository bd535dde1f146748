"""GANs and a diffusion model at equal minutes: one table and one picture, as `marmor compare` makes them.

    python benchmarks/gans.py --data faces64_train.zip --real faces64_val.zip --seeds 0 1 2 --faces

Trains each model with each seed, draws from it, and holds all of one seed against the real images, the
default GAN first: differences are to it. Needs a machine with nothing else to do; with --at-once 2 two are
trained side by side, each on half of the cores. What is finished is kept: the same command goes on where it
stopped, and more seeds and models may be added. Writes table.txt, table.csv and results.json of all seeds,
and for each seed a folder with its comparison, and first-32.png, the first images of all of them side by
side.
"""

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import tyro
from PIL import Image

from gans_table import COLUMNS, PEER, Row, cells_of, quality
from kept import Kept
from marmor.base.files import read_settings, write_json
from marmor.base.progress import console
from marmor.figures import save_png, side_by_side, stack
from marmor.recipes import faces, gan_faces, running
from marmor.recipes.asking import ask_in_all
from marmor.recipes.comparing import compare
from marmor.recipes.drawing import draw_with_bar, write_images
from marmor.recipes.evaluating import EvaluationSettings
from marmor.recipes.features import PHOTOGRAPHS
from marmor.recipes.gan_reporting import first_images
from marmor.recipes.models import load_generator
from marmor.recipes.tables import show_table
from marmor.training import DivergenceError, RunFolder, environment
from own_cores import own_cores, share_of

SAMPLING_SEED = 1000
ACROSS = 2
"""Grids beside each other in the picture of first images."""
DIFFUSION = "diffusion"
Model = Literal["r3gan", "dcgan", "wgan", "wgan-gp", "diffusion"]


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Args:
        data: images to train on.
        real: held-out images that samples are compared with.
        minutes: of training, for each.
        seeds: of the training runs.
        models: objectives of `marmor train gan-faces`, and diffusion, which is `marmor train faces`; the
            first is what the others are compared with.
        count: samples of each.
        size: side of the images.
        features: what measures distances, as `marmor evaluate` takes it.
        faces: also count faces; pip install 'marmor[faces]'.
        at_once: trainings side by side; each has its share of the cores.
        out: folder for runs, samples and tables.
    """

    data: str
    real: str
    minutes: float = 30.0
    seeds: tuple[int, ...] = (0,)
    models: tuple[Model, ...] = ("r3gan", "dcgan", "wgan", "wgan-gp", "diffusion")
    count: int = 2000
    size: int = 64
    features: str = PHOTOGRAPHS
    faces: bool = False
    at_once: int = 1
    out: Path = Path("runs/benchmark-gans")


@dataclass(frozen=True)
class Made:
    """A trained model and what was drawn from it.

    Args:
        model: which one.
        run: its folder.
        stopped: why training ended before its budget did; empty where it did not.
        samples: the folder of images.
        seconds: that drawing them took, without reading the model and writing the files.
    """

    model: str
    run: Path
    stopped: str
    samples: Path
    seconds: float


def main(settings: Settings) -> None:
    told = asdict(settings)
    _ = share_of(settings.at_once)
    # Runs of another budget or other images are not gone on with.
    budget = ("data", "minutes", "size", "count", "at_once")
    Kept(settings.out, {name: told[name] for name in budget})
    every = made_of_all(settings)
    rows: list[Row] = []
    notes: list[str] = []
    for seed in settings.seeds:
        folder, made = folder_of(settings, seed), every[seed]
        summaries = compared(settings, made, folder)
        save_png(first_of_all(made, seed), folder / "first-32.png")
        console.print(f"written: {folder / 'first-32.png'}")
        peer = summaries.get(PEER)
        rows += [
            Row(one.model, seed, speed(one, settings.count) | quality(summaries[one.model], peer))
            for one in made
        ]
        notes += [f"{one.model}, seed {seed}: {one.stopped}" for one in made if one.stopped]
    write_json(settings.out / "results.json", [asdict(row) for row in rows])
    show_table(COLUMNS, cells_of(rows), settings.out, " ".join([how(settings), *notes]))


def folder_of(settings: Settings, seed: int) -> Path:
    return settings.out / f"seed-{seed}"


def made_of_all(settings: Settings) -> dict[int, list[Made]]:
    """The models of each seed, in their order, so many at once as is asked for."""
    with own_cores(settings.at_once) as pool:
        asked = {
            seed: [pool.submit(made_of, settings, model, seed) for model in settings.models]
            for seed in settings.seeds
        }
        return {seed: [one.result() for one in models] for seed, models in asked.items()}


def made_of(settings: Settings, model: Model, seed: int) -> Made:
    """A run at its end and its samples; what an earlier call has finished is kept."""
    folder = folder_of(settings, seed)
    run = folder / "runs" / model
    ended, drawn = (folder / kind / f"{model}.json" for kind in ("runs", "samples"))
    if not ended.is_file():
        write_json(ended, {"stopped": train_to_end(settings, run, model, seed)})
    samples = drawn.with_suffix("")
    if not drawn.is_file():
        shutil.rmtree(samples, ignore_errors=True)
        write_json(drawn, {"seconds": draw_into(samples, run, settings.count, seed)})
    stopped, seconds = read_settings(ended)["stopped"], read_settings(drawn)["seconds"]
    return Made(model, run, stopped, samples, seconds)


def train_to_end(settings: Settings, run: Path, model: Model, seed: int) -> str:
    """Trains a run, or goes on with it, to its end: "", or why it gave up before."""
    minutes, size = settings.minutes, settings.size
    try:
        if (run / "config.json").is_file():
            running.resume(run)
        elif model == DIFFUSION:
            faces.train(
                faces.FacesSettings(settings.data, run, minutes=minutes, seed=seed, size=size)
            )
        else:
            gan_faces.train(
                gan_faces.GanSettings(
                    settings.data, run, model, minutes=minutes, seed=seed, size=size
                )
            )
    except DivergenceError as error:
        return str(error)
    return ""


def draw_into(samples: Path, run: Path, count: int, seed: int) -> float:
    """Draws a folder of images; the seconds that it took."""
    generator = load_generator(str(run))
    asks = ask_in_all(generator, count)
    began = time.monotonic()
    drawn = draw_with_bar(generator, asks, SAMPLING_SEED + seed, "auto")
    seconds = time.monotonic() - began
    write_images(drawn, samples)
    return seconds


def compared(settings: Settings, made: Sequence[Made], folder: Path) -> dict[str, dict[str, float]]:
    """What `marmor compare` finds of each model, by its name."""
    asked = EvaluationSettings(
        settings.real, settings.features, training=settings.data, faces=settings.faces
    )
    compare([str(one.samples) for one in made], asked, folder)
    summary = read_settings(folder / "summary.json")
    return {one.model: summary[str(one.samples)] for one in made}


def speed(made: Made, count: int) -> dict[str, float]:
    """How long it was trained, how often it went back, and how fast it was trained and drawn from."""
    run = RunFolder(made.run)
    last, checkpoint = run.history()[-1], run.checkpoints.load()
    assert checkpoint is not None
    return {
        "minutes": last["seconds"] / 60,
        "retreats": len(checkpoint.position["retreats"]),
        "train.images_per_second": last["images"] / last["seconds"],
        "sample.images_per_second": count / made.seconds,
    }


def first_of_all(made: Sequence[Made], seed: int) -> Image.Image:
    """The first 32 images of each model, which are also the first samples of it."""
    grids = [first_images(load_generator(str(one.run)), SAMPLING_SEED + seed) for one in made]
    titles = [one.model for one in made]
    starts = range(0, len(made), ACROSS)
    return stack([side_by_side(grids[at : at + ACROSS], titles[at : at + ACROSS]) for at in starts])


def how(settings: Settings) -> str:
    """What the numbers of the table stand on."""
    return (
        f"{settings.minutes:g} minutes of training each on {environment()['processor']}, {settings.at_once} "
        f"at once, cores of each: {share_of(settings.at_once)}, on {settings.data}; {settings.count:,} "
        f"samples of each against {settings.real}, by {settings.features}; intervals stand in the folder of "
        "each seed. Trained images of a GAN are those that the generator draws for its own steps; "
        "Wasserstein critics see five times as many. A run that was sent back got the minutes back that it "
        "lost."
    )


if __name__ == "__main__":
    main(tyro.cli(Settings))
