"""Do drawn scenes show what a list asks for? `marmor score … --spec LIST`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.files import write_json
from marmor.base.progress import console, progress_bar
from marmor.data import SHOWS, SQUASHED, ImageSet, read, read_requests
from marmor.data.scenes import OBJECTS
from marmor.metrics import ObjectScores, mean
from marmor.recipes.asking import Ask, asked
from marmor.recipes.denoising import DiffusionGenerator
from marmor.recipes.drawing import as_images, draw_over
from marmor.recipes.folders import PRETRAINED
from marmor.recipes.models import load_diffusion
from marmor.recipes.object_judging import (
    STEERED,
    LoadedObjectJudge,
    check_apart,
    figures_of,
    load_object_judge,
    needed_object_judge,
    scores_of,
)
from marmor.recipes.scoring import with_interval
from marmor.recipes.steering import UNSTEERED, SteeringWishes, steered
from marmor.recipes.wishes import UNCHANGED, Wishes

SEEDS = 20


def score_scenes(
    images: str,
    spec: Path,
    judge_spec: str | None,
    out: Path | None,
    seeds: int | None = None,
    how: Wishes = UNCHANGED,
    steering: SteeringWishes = UNSTEERED,
) -> dict[str, Any]:
    """Scores a folder of ``0.png`` … or, over ``seeds``, a model; prints, and writes into ``out``.

    Seeds, how to draw and steering are a model's: SEEDS, its own way and none where nothing is said.
    Where a judge steered the images, the table and ``steered`` in summary.json say which.

    Raises UserError for a list that cannot be read, pictures that are missing, a judge or a model that
    does not know the objects, steering by the judge that scores, and a model's wishes for finished images.
    """
    if _is_model(images):
        generator = steered(load_diffusion(images).wished(how), steering)
        judge = needed_object_judge(judge_spec, generator.vocabulary.get(SHOWS, OBJECTS))
        figures = _of_model(generator, spec, judge, SEEDS if seeds is None else seeds)
        remark = generator.remark
    elif (seeds, how, steering) != (None, UNCHANGED, UNSTEERED):
        raise UserError(
            f"{images} is no model, and finished images cannot be drawn otherwise or steered; leave --seeds, "
            "--steer and what says how to draw out."
        )
    else:
        judge = load_object_judge(judge_spec) if judge_spec else needed_object_judge(None, OBJECTS)
        objects = judge.objects or OBJECTS
        pictures = _asked(images, read_requests(spec, objects), objects, judge.side)
        for note in pictures.notes:
            console.print(f"note: {note}")
        figures = figures_of(scores_of(judge, pictures))
        remark = " ".join(note for note in pictures.notes if STEERED in note)
    figures |= judge.facts()
    if remark:
        figures["steered"] = remark
    _tell(figures, judge)
    if out is not None:
        write_json(out / "summary.json", figures)
        console.print(f"written: {out / 'summary.json'}")
    return figures


def scores_over(
    generator: DiffusionGenerator,
    asks: Sequence[Ask],
    judge: LoadedObjectJudge,
    seeds: Sequence[int],
) -> list[ObjectScores]:
    """What a judge finds in pictures of the same requests, drawn from each seed."""
    with progress_bar("sampling") as bar:
        drawn = draw_over(generator, asks, seeds, watch=bar)
    return [scores_of(judge, as_images(images, generator)) for images in drawn]


def over_seeds(scores: Sequence[ObjectScores]) -> dict[str, float]:
    """Means over draws with Student's 95 % intervals, as summary.json names them."""
    figures: dict[str, float] = {}
    for name, values in (
        ("found", [each.found.value for each in scores]),
        ("exact", [each.exact.value for each in scores]),
        ("extra", [each.extra.value for each in scores]),
    ):
        figures |= with_interval(f"objects.{name}", mean(values))
    return figures


def _of_model(
    generator: DiffusionGenerator, spec: Path, judge: LoadedObjectJudge, seeds: int
) -> dict[str, Any]:
    if seeds < 2:
        raise UserError(f"--seeds must be at least 2, for intervals, not {seeds}.")
    check_apart(judge, [generator.remark])
    asks = asked(generator, spec=spec)
    scores = scores_over(generator, asks, judge, range(seeds))
    about = {"seeds": seeds, "pictures": len(asks), "calls": generator.drawing.steps}
    return over_seeds(scores) | about


def _is_model(images: str) -> bool:
    return images.startswith(PRETRAINED) or (Path(images) / "config.json").is_file()


def _asked(folder: str, requests: list[list[int]], objects: Sequence[str], side: int) -> ImageSet:
    """The pictures ``0.png`` … of a folder at a side, labelled with what they were asked to show."""
    found = read(folder, "test", side, SQUASHED).colour()
    places: dict[str, int] = {}
    for place, path in enumerate(found.names):
        first = places.setdefault(Path(path).name, place)
        if first != place:
            raise UserError(
                f"{folder} has two pictures named {Path(path).name}, {found.names[first]} and {path}; "
                "keep one."
            )
    wanted = [f"{number}.png" for number in range(len(requests))]
    missing = [name for name in wanted if name not in places]
    if missing:
        raise UserError(
            f"{folder} has no {missing[0]}; the list asks for {len(wanted)} pictures, 0.png to {wanted[-1]}."
        )
    shown = torch.zeros(len(requests), len(objects), dtype=torch.bool)
    for row, request in zip(shown, requests, strict=True):
        row[request] = True
    pictures = found.take([places[name] for name in wanted])
    labels: dict[str, Tensor] = {SHOWS: shown}
    return replace(pictures, labels=labels, vocabulary={SHOWS: tuple(objects)})


def _tell(figures: dict[str, Any], judge: LoadedObjectJudge) -> None:
    table = Table("measure", "value", "95 % interval", box=None, title=figures.get("steered"))
    table.caption = f"Read by {judge.title}."
    words = {
        "objects.found": "of the objects asked for, found",
        "objects.exact": "of the pictures, exactly as asked",
        "objects.extra": "objects that nobody asked for, a picture",
    }
    for name, what in words.items():
        low, high = figures.get(f"{name}.low"), figures.get(f"{name}.high")
        interval = f"{low:.4f} to {high:.4f}" if low is not None and high is not None else "—"
        table.add_row(what, f"{figures[name]:.4f}", interval)
    console.print(table)
