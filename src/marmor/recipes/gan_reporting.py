"""From a trained GAN to a page: samples, figures, numbers, report.html and summary.json."""

import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from marmor.data import read_picture
from marmor.figures import curves, grid, side_by_side
from marmor.recipes.asking import ask_classes, asked, names_of
from marmor.recipes.commands import options
from marmor.recipes.drawing import draw_with_bar, write_images
from marmor.recipes.exploring import Alphas, interpolation, noise_of, scale_of
from marmor.recipes.face_shares import FaceShares, face_shares
from marmor.recipes.gan_faces import (
    DIVERSITY,
    SHOWN,
    milestone_file,
    milestones_of,
    players_of,
    summaries,
)
from marmor.recipes.gan_page import GanFindings, page
from marmor.recipes.generators import Generator
from marmor.recipes.latents import LatentGenerator
from marmor.recipes.models import load_generator
from marmor.recipes.publishing import clear, faces_to_compare, neighbours_of, publish, taken
from marmor.training import GAVE_UP, RunFolder

FIRST = 32
COLUMNS = 8
LAST_LOGGED = ("critic.loss", "generator.loss", "critic.accuracy", "critic.augmentation")


def report(
    run: RunFolder,
    generator: LatentGenerator,
    per_class: int,
    seed: int,
    beside: str | None,
    real: str | None,
) -> Path:
    """Draws, measures and shows a run of `marmor train gan-faces`; returns the page.

    Args:
        run: its folder.
        generator: its averaged generator.
        per_class: images drawn and measured of each class, or in all where there are none.
        seed: of the images.
        beside: another model whose first 32 images are shown beside this one's.
        real: held-out real faces; the data's own when left out.
    """
    others = faces_to_compare(run, real, generator.image_shape[1])
    other = load_generator(beside) if beside is not None else None
    started = time.perf_counter()
    drawn = draw_with_bar(generator, ask_classes(generator, per_class), seed, "auto")
    seconds = time.perf_counter() - started
    clear(run.path)
    write_images(drawn, run.path / "samples")
    faces = face_shares(torch.stack([item.image for item in drawn]), others) if others else None
    figures = _figures(run, generator, faces) | {
        "sample.seconds": seconds,
        "sample.images": len(drawn),
        "sample.seed": seed,
        "sample.per_class": per_class,
    }
    images = _pictures(run, generator, seed)
    images["neighbours"], searched = neighbours_of(run, drawn)
    if other is not None:
        both = [first_images(each, seed) for each in (generator, other)]
        images["beside"] = side_by_side(both, [each.origin for each in (generator, other)])
    networks = summaries(players_of(run.config["settings"]["model"]))
    found = GanFindings(
        run,
        generator,
        figures,
        images,
        networks,
        searched,
        _retreats(run),
        _end(run),
        faces,
        beside,
        options({"beside": beside, "real": real}),
    )
    text = "\n\n".join(f"{title}\n{layers}" for title, layers in networks.items())
    return publish(run, figures, images, text, page(found))


def first_images(generator: Generator, seed: int) -> Image.Image:
    """The first 32 images of a model, eight a row; of one of classes some of each, of one of scenes any."""
    drawn = draw_with_bar(generator, asked(generator, count=FIRST), seed, "auto")
    pixels = torch.stack([item.image for item in drawn])
    return grid(pixels, COLUMNS, scale_of(pixels, 64))


def _figures(
    run: RunFolder, generator: LatentGenerator, faces: FaceShares | None
) -> dict[str, Any]:
    """summary.json: flat figures under dotted names."""
    figures = taken(run) | {
        "model.parameters": sum(p.numel() for p in generator.network.parameters()),
        "retreats": len(_retreats(run)),
    }
    if lines := [line for line in run.history() if GAVE_UP not in line]:
        last = lines[-1]
        figures |= {f"train.{name}": last[name] for name in LAST_LOGGED if name in last}
    if milestones := milestones_of(run):
        figures[DIVERSITY] = milestones[-1][DIVERSITY]
    return figures | (faces.figures() if faces else {})


def _retreats(run: RunFolder) -> list[dict[str, Any]]:
    last = run.checkpoints.load()
    return last.position["retreats"] if last else []


def _end(run: RunFolder) -> dict[str, Any] | None:
    """The last line of the log, where the run gave up there."""
    last = run.history()[-1:]
    return last[0] if last and GAVE_UP in last[0] else None


def _pictures(run: RunFolder, generator: LatentGenerator, seed: int) -> dict[str, Image.Image]:
    ends = noise_of("0", generator), noise_of("1", generator)
    shares, name = Alphas().values(), names_of(generator)[0]
    images = {
        "first": first_images(generator, seed),
        "interpolation": interpolation(generator, ends, name, shares, ["slerp"]),
    }
    return images | _curves(run) | _over_time(run)


def _curves(run: RunFolder) -> dict[str, Image.Image]:
    """Losses, what the critic gets right, and diversity, over minutes."""
    titles = {
        "losses": ("Losses", "loss", ("critic.loss", "generator.loss")),
        "accuracy": (
            "The critic's accuracy and augmentation",
            "share",
            ("critic.accuracy", "critic.augmentation"),
        ),
        DIVERSITY: ("Diversity", "share of that of real images", (DIVERSITY,)),
    }
    images: dict[str, Image.Image] = {}
    for picture, (title, ylabel, names) in titles.items():
        series: dict[str, tuple[list[float], list[float]]] = {}
        for name in names:
            lines = [line for line in run.history() if name in line]
            if lines:
                minutes = [line["seconds"] / 60 for line in lines]
                series[name] = (minutes, [line[name] for line in lines])
        if series:
            images[picture] = curves(series, "minutes of training", ylabel, title)
    return images


def _over_time(run: RunFolder) -> dict[str, Image.Image]:
    """The same latents at every milestone, a row each; {} before the first one."""
    milestones = milestones_of(run)
    if not milestones:
        return {}
    rows = [read_picture(milestone_file(run, number)) for number in range(len(milestones))]
    side = rows[0].shape[1]
    images = torch.cat([torch.stack(row.split(side, dim=2)) for row in rows])
    labels = [f"{line['seconds'] / 60:.1f} minutes" for line in milestones]
    shown = min(SHOWN, len(images) // len(rows))
    return {"over-time": grid(images, shown, scale_of(images, 64), labels)}
