"""From a trained model of scenes to a page: grids of its lists, what a judge finds, how it was trained."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from marmor.base.errors import UserError
from marmor.data import SHOWS, read_requests
from marmor.data.scenes import REQUESTS
from marmor.figures import Picture, Section, Table, Text
from marmor.recipes.asking import Ask, ask_objects, ask_scenes
from marmor.recipes.denoising import DiffusionGenerator
from marmor.recipes.drawing import Drawn, as_images, draw_with_bar
from marmor.recipes.object_judging import LoadedObjectJudge, find_object_judge, scores_of
from marmor.recipes.pictures import SCENES_A_ROW, class_grid, process_strip
from marmor.recipes.scene_scoring import SEEDS, over_seeds, scores_over
from marmor.training import RunFolder

FRAMES = 8
STRIP = "red sphere, cyan cylinder, cyan cube"
"""What the strip shows, where the model knows it."""


@dataclass(frozen=True)
class Scenes:
    """What a page tells of a model of scenes.

    Args:
        drawn: the first pictures of each list.
        figures: for summary.json: scores of each list under its name, and what drawing took.
        images: grids and the strip, by name.
        judge: who read them; None where none knows the objects.
        strip: what the strip shows.
    """

    drawn: dict[str, list[Drawn]]
    figures: dict[str, Any]
    images: dict[str, Image.Image]
    judge: LoadedObjectJudge | None
    strip: str


def draw_lists_of(
    run: RunFolder, generator: DiffusionGenerator, judge_spec: str | None, seed: int
) -> Scenes:
    """Draws the lists that lie beside the training pictures, and scores them over many seeds.

    ``SEEDS`` of them, from ``seed`` on; without a judge once, and unscored. Raises UserError where there
    are no lists.
    """
    names = generator.vocabulary[SHOWS]
    judge = find_object_judge(judge_spec, names)
    folder = Path(run.config["settings"]["asked"]["data"])
    requests = {
        name: read_requests(folder / f"{name}.json", names)
        for name in REQUESTS
        if (folder / f"{name}.json").is_file()
    }
    if not requests:
        raise UserError(
            f"{folder} has neither test.json nor new_test.json; put a list of sets of objects there."
        )
    drawn: dict[str, list[Drawn]] = {}
    figures: dict[str, Any] = {"sample.seconds": 0.0, "sample.images": 0}
    figures |= judge.facts() if judge else {}
    for name, asked in requests.items():
        asks = ask_scenes(generator, asked)
        began = time.perf_counter()
        drawn[name] = draw_with_bar(generator, asks, seed, "auto")
        figures["sample.seconds"] += time.perf_counter() - began
        figures["sample.images"] += len(asks)
        if judge is not None:
            scores = [scores_of(judge, as_images(drawn[name], generator))]
            scores += scores_over(generator, asks, judge, range(seed + 1, seed + SEEDS))
            figures |= {f"{name}.{key}": value for key, value in over_seeds(scores).items()}
    ask, shown = _strip(generator, drawn)
    images = {f"grid-{name}": class_grid(found, SCENES_A_ROW) for name, found in drawn.items()}
    images["process"] = process_strip(
        generator, ask, seed, min(FRAMES, generator.drawing.steps + 1)
    )
    return Scenes(drawn, figures, images, judge, shown)


def cards(found: Scenes) -> list[tuple[str, str, str]]:
    """The page's headline."""
    shown: list[tuple[str, str, str]] = []
    for name in found.drawn if found.judge else ():
        for key, words in (("found", "objects found"), ("exact", "exactly as asked")):
            value, low, high = (
                found.figures[f"{name}.objects.{key}{end}"] for end in ("", ".low", ".high")
            )
            interval = f"95 % interval {100 * low:.1f} to {100 * high:.1f} % over {SEEDS} draws"
            shown.append((f"{name}: {words}", f"{100 * value:.1f} %", interval))
    return shown


def sections(found: Scenes, how: str) -> list[Section]:
    """What it draws, and what a judge finds."""
    items: list[Picture | Table | Text] = [
        Picture(
            f"Drawn: {name}.json",
            "One picture for each entry of the list, in its order.",
            f"Grid of generated scenes, {SCENES_A_ROW} a row.",
            found.images[f"grid-{name}"],
        )
        for name in found.drawn
    ]
    items.append(
        Picture(
            "Carved out of noise",
            f"{found.strip}: from noise to picture.",
            "Frames from noise to a finished scene.",
            found.images["process"],
        )
    )
    return [Section("What it draws", how, items), _judged(found)]


def _judged(found: Scenes) -> Section:
    if found.judge is None:
        lead = (
            "No judge knows these objects, so nothing is claimed about them. Train one with `marmor train "
            "scene-judge --data …` and pass it with --judge."
        )
        return Section("What a judge finds", lead)
    lead = (
        f"The judge {found.judge.title} says of each object whether it is there. Found: of the objects "
        "asked for, those among the k surest of a picture that k were asked for. Exact: pictures that show "
        "what was asked for and nothing else. A judge errs too."
    )
    keys = ("found", "exact", "extra")
    rows = [
        [name, *(_cell(found, f"{name}.objects.{key}") for key in keys)] for name in found.drawn
    ]
    columns = ("list", "found", "exact", "objects nobody asked for, a picture")
    caption = (
        f"Means over {SEEDS} draws of one trained network, with 95 % intervals over the draws."
    )
    return Section("What a judge finds", lead, [Table("Scores", columns, rows, caption)])


def _cell(found: Scenes, figure: str) -> str:
    value, low, high = (found.figures[f"{figure}{end}"] for end in ("", ".low", ".high"))
    return f"{value:.4f} ({low:.4f} to {high:.4f})"


def _strip(generator: DiffusionGenerator, drawn: dict[str, list[Drawn]]) -> tuple[Ask, str]:
    names = generator.vocabulary[SHOWS]
    if all(name.strip() in names for name in STRIP.split(",")):
        return ask_objects(generator, STRIP), STRIP
    ask = next(iter(drawn.values()))[0].ask
    return ask, ", ".join(names[k] for k in ask.said[SHOWS].nonzero().flatten().tolist())
