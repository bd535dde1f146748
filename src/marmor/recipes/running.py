"""What the commands about runs and data do: resume, list, show data, score."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from PIL import Image
from rich.table import Table

from marmor.base.errors import UserError, unknown_name
from marmor.base.files import write_json
from marmor.base.progress import console
from marmor.data import (
    EMBEDDED,
    ImageSet,
    describe,
    labelled_by_names,
    read,
    require_classes,
)
from marmor.figures import confusion, grid, save_png
from marmor.recipes import (
    adapt,
    adapt_page,
    bringing_in,
    custom_diffusion,
    digits,
    domains,
    faces,
    gan_faces,
    iclevr,
    judge,
    lora,
    merging_runs,
    scene_judge,
    study,
    textual_inversion,
    tiny_clip,
    tiny_text_to_image,
)
from marmor.recipes.folders import PRETRAINED, pretrained
from marmor.recipes.learned import check_whole
from marmor.recipes.lengthening import lengthened
from marmor.recipes.models import load_judge
from marmor.recipes.scoring import (
    accuracy,
    distance_figures,
    figures_of,
    judge_images,
    percent,
    real_features,
)
from marmor.training import Budget, RunFolder

RESUME: dict[str, Callable[[RunFolder], object]] = {
    digits.RECIPE: digits.resume,
    domains.RECIPE: domains.resume,
    faces.RECIPE: faces.resume,
    gan_faces.RECIPE: gan_faces.resume,
    iclevr.RECIPE: iclevr.resume,
    study.RECIPE: study.resume,
    judge.RECIPE: judge.resume,
    scene_judge.RECIPE: scene_judge.resume,
    adapt.RECIPE: lambda run: adapt_page.tell(adapt.resume(run)),
    textual_inversion.RECIPE: textual_inversion.resume,
    tiny_clip.RECIPE: tiny_clip.resume,
    tiny_text_to_image.RECIPE: tiny_text_to_image.resume,
    custom_diffusion.RECIPE: custom_diffusion.resume,
    lora.RECIPE: lora.resume,
    merging_runs.RECIPE: check_whole,
    bringing_in.RECIPE: check_whole,
}
ONE_BUDGET = (
    digits.RECIPE,
    domains.RECIPE,
    faces.RECIPE,
    gan_faces.RECIPE,
    iclevr.RECIPE,
    judge.RECIPE,
    scene_judge.RECIPE,
    textual_inversion.RECIPE,
    tiny_clip.RECIPE,
    tiny_text_to_image.RECIPE,
    custom_diffusion.RECIPE,
    lora.RECIPE,
)
"""Recipes whose runs can get a longer budget: each was asked for one."""
BESIDE = {tiny_text_to_image.RECIPE: tiny_text_to_image.coder_seconds}
"""Of recipes that train something first: how many seconds of a run's budget that took."""
COMMANDS = {
    adapt.RECIPE: "adapt",
    study.RECIPE: "study iclevr",
    textual_inversion.RECIPE: "personalize textual-inversion",
    custom_diffusion.RECIPE: "personalize custom-diffusion",
    lora.RECIPE: "personalize lora",
    merging_runs.RECIPE: "personalize merge",
    bringing_in.RECIPE: "personalize import",
}
"""Of recipes that `marmor train` does not know."""
SHEET = 100


def resume(path: Path, budget: Budget | None = None) -> None:
    """Goes on with the run at ``path``, whatever its recipe; to the end of ``budget`` where one is told."""
    run = RunFolder.open(path)
    if run.recipe == adapt.PART:
        resume(adapt.whole_of(path), budget)
        return
    if run.recipe not in RESUME:
        raise unknown_name("recipe", run.recipe, RESUME)
    if budget is not None and run.recipe not in ONE_BUDGET:
        raise UserError(
            f"runs of the recipe {run.recipe!r} keep the budget that they began with; "
            f"go on with it as it is: marmor resume {path}."
        )
    beside = BESIDE[run.recipe](run) if run.recipe in BESIDE else 0.0
    with nullcontext() if budget is None else lengthened(run, budget, beside):
        RESUME[run.recipe](run)
    console.print(f"the run is at the end of its budget: {path}")


def list_everything(runs: Path) -> None:
    """Prints recipes, embedded data, shipped weights and the runs below a folder."""
    table = Table("kind", "name", "what", box=None)
    for name in RESUME:
        command = COMMANDS.get(name, f"train {name}")
        table.add_row("recipe", name, f"marmor {command} --help")
    for name in EMBEDDED:
        table.add_row("data", name, f"marmor data show {name}")
    for name, config in pretrained().items():
        table.add_row("weights", PRETRAINED + name, config["settings"].get("note", ""))
    for config in sorted(runs.glob("*/config.json")):
        run = RunFolder.open(config.parent)
        checkpoint = run.checkpoints.latest()
        table.add_row(
            "run", str(run.path), f"{run.recipe}, {checkpoint.name if checkpoint else '—'}"
        )
    console.print(table)


def show_data(spec: str, split: str, out: Path) -> dict[str, Any]:
    """Prints what a data set is and saves a contact sheet of its first images."""
    images = read(spec, split)
    facts = describe(images)
    for name, value in facts.items():
        console.print(f"{name}: {value}")
    save_png(contact_sheet(images), out)
    console.print(f"contact sheet: {out}")
    return facts


def contact_sheet(images: ImageSet) -> Image.Image:
    """Up to 100 images spread evenly over the set, ten a row."""
    count = min(SHEET, len(images))
    chosen = images.take([i * len(images) // count for i in range(count)])
    return grid(chosen.images, 10)


def score(
    spec: str,
    judge_spec: str,
    split: str,
    crop: int | None,
    real: str | None,
    out: Path | None,
) -> dict[str, Any]:
    """How often a judge reads what the images are named; prints, and writes into ``out``."""
    reader = load_judge(judge_spec)
    images = labelled_by_names(read(spec, split), reader.class_names)
    if crop is not None:
        images = images.cropped(crop)
    require_classes(images, at_least=1)
    reading = judge_images(reader, images)
    result = accuracy(reader, images, reading)
    figures = figures_of(result, reader.class_names)
    if crop is not None:
        figures["crop"] = crop
    table = Table("class", "read as asked", "images", box=None)
    for name, part in zip(reader.class_names, result.per_class, strict=True):
        if part.count:
            table.add_row(name, percent(part), str(part.count))
    table.add_row("all", percent(result.overall), str(result.overall.count))
    console.print(table)
    if real is not None:
        found = real_features(reader, real, min(images.size), crop is not None).distance(reading)
        figures |= distance_figures(found)
        console.print(
            f"Fréchet distance on judge features: {found.value:.4f} "
            f"(floor {found.floor:.4f}, ratio {found.value / found.floor:.2f})"
        )
    if out is not None:
        write_json(out / "summary.json", figures)
        save_png(
            confusion(result.confusion, reader.class_names, "Asked and read"), out / "confusion.png"
        )
        console.print(f"written: {out / 'summary.json'}, {out / 'confusion.png'}")
    return figures
