"""A personalized run told as a page."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from marmor.figures import Picture, Report, Section, Table, Text
from marmor.recipes.commands import appended
from marmor.recipes.page_parts import (
    and_longer,
    budgets_of,
    facts_of_machine,
    files_of,
    network_table,
)
from marmor.recipes.references import references_of_concepts
from marmor.training import RunFolder

WAYS = {
    "textual-inversion": "New words, learned from photos; everything else is the pipeline's own.",
    "custom-diffusion": "New words and the weights that read them, learned from photos.",
    "lora": "Low-rank weights beside the pipeline's own, learned from photos.",
    "personalize-merge": "Concepts of several runs, merged in closed form.",
    "personalize-import": "Concepts that were learned elsewhere.",
}
POSITIONAL = {"personalize-merge": "runs", "personalize-import": "files"}
"""What those commands take first, without a name."""


class KeptFile(NamedTuple):
    """A file of what was learned, by its place in the run folder; ``size`` in bytes."""

    name: str
    what: str
    size: int


@dataclass(frozen=True)
class PersonalFindings:
    """Everything that a page tells of a personalized run.

    Args:
        run: its folder.
        base: the pipeline that it was learned on.
        figures: summary.json.
        images: pictures by name.
        learned: every tensor that was learned, as a table of text.
        files: what it keeps.
        missing: why its photos are not shown; None where they are, and where there never were any.
    """

    run: RunFolder
    base: Path
    figures: Mapping[str, Any]
    images: Mapping[str, Image.Image]
    learned: str
    files: Sequence[KeptFile]
    missing: str | None = None


def page(found: PersonalFindings) -> Report:
    """The page of a run."""
    return Report(
        title=f"{found.run.path.name}: {' and '.join(found.figures['vectors']) or 'a style'}",
        lead=f"{WAYS[found.run.recipe]} No picture of the first section was chosen or left out.",
        headline=_headline(found),
        sections=[_drawn(found), _training(found), _kept(found)],
        facts=_facts(found),
        commands=_commands(found),
        files=files_of(found.run, [(file.name, file.what) for file in found.files]),
        references=references_of_concepts(found.run.recipe),
    )


def _headline(found: PersonalFindings) -> list[tuple[str, str, str]]:
    figures = found.figures
    share = figures["kept.bytes"] / figures["pipeline.bytes"]
    note = f"{100 * share:.3g} % of its pipeline's {_bytes(figures['pipeline.bytes'])}"
    cards = [("kept", _bytes(figures["kept.bytes"]), note)]
    if "train.minutes" in figures:
        steps = f"{figures['train.steps']:,} steps, without what came before them"
        cards.append(("minutes of training", f"{figures['train.minutes']:.1f}", steps))
    each = figures["sample.seconds"] / figures["sample.images"]
    cards.append(("seconds a picture", f"{each:.2g}", f"{figures['sample.calls']} steps"))
    return cards


def _drawn(found: PersonalFindings) -> Section:
    items: list[Picture | Table | Text] = [
        Picture(
            "By its words",
            "A row for each prompt, each picture from a noise of its own.",
            "Rows of pictures that were drawn for prompts with the new words.",
            found.images["drawn"],
        )
    ]
    if "photos" in found.images:
        items.append(
            Picture(
                "What was learned from",
                "The photos, before training took views of them.",
                "The photos of each concept in a row.",
                found.images["photos"],
            )
        )
    if found.missing is not None:
        items.append(Text("What was learned from", [f"Not shown: {found.missing}"]))
    figures = found.figures
    how = f"{figures['sample.calls']} steps, guidance {figures['sample.guidance']:g}"
    return Section("What it draws", f"{how}, seed {figures['sample.seed']}.", items)


def _training(found: PersonalFindings) -> Section:
    if "loss" in found.images:
        loss = Picture(
            "Loss",
            "It depends on noise and step more than on what was learned; look at the pictures.",
            "Curve of the training loss.",
            found.images["loss"],
        )
        return Section("How it was trained", "", [loss])
    if "residual" not in found.figures:
        return Section("How it was made", "Nothing was trained here.")
    merge = found.figures
    rows = [
        ["constraints", merge["constraints"]],
        ["rank", merge["rank"]],
        ["ridge", merge["ridge"]],
        ["largest residual", merge["residual"]["largest"]],
        ["answers to captions moved by up to", merge["moved"]["largest"]],
    ]
    return Section("How it was made", "", [Table("The merge", ["figure", "value"], rows)])


def _kept(found: PersonalFindings) -> Section:
    rows = [[file.name, file.what, _bytes(file.size)] for file in found.files]
    table = Table("Files", ["file", "what", "size"], rows)
    return Section("What was learned", "", [table, network_table("Weights", found.learned)])


def _facts(found: PersonalFindings) -> dict[str, str | int | float]:
    settings = found.run.config["settings"]
    facts: dict[str, str | int | float] = {
        "pipeline": str(found.base),
        "fingerprint of the pipeline": settings["pipeline"]["fingerprint"],
    }
    if (data := settings.get("data")) is not None:
        facts |= {
            "photos": data["count"],
            "conversions": " ".join(data["notes"]) or "none",
            "fingerprint of the photos": data["fingerprint"],
        }
    asked = {
        name.replace("_", " "): value
        for name, value in settings["asked"].items()
        if isinstance(value, str | int | float) and name != "pipeline"
    }
    return facts | asked | facts_of_machine(found.run)


def _commands(found: PersonalFindings) -> list[str]:
    run, figures = found.run, found.figures
    path = str(run.path)
    budget, *longer = budgets_of(run)
    asked = run.config["settings"]["asked"] | budget
    first = asked.pop(POSITIONAL[run.recipe], []) if run.recipe in POSITIONAL else []
    if run.recipe == "personalize-import":
        asked["pipeline"] = str(found.base)
    made = ["marmor", "personalize", run.recipe.removeprefix("personalize-"), *first]
    drawing = ["--seed", str(figures["sample.seed"])]
    prompts = appended({"prompt": figures["sample.prompts"]})
    return [
        and_longer(run, [*made, *appended(asked), "--run", path], longer),
        shlex.join(
            ["marmor", "report", path, "--per-class", str(figures["sample.per_prompt"]), *drawing]
        ),
        shlex.join(["marmor", "generate", path, *prompts, *drawing, "--out", "drawn"]),
        shlex.join(["marmor", "personalize", "export", path, "--out", "exported"]),
    ]


def _bytes(count: int) -> str:
    """As people read it."""
    if count < 10_000:
        return f"{count:,} bytes"
    return f"{count / 1e3:,.0f} kB" if count < 10_000_000 else f"{count / 1e6:,.0f} MB"
