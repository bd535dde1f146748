"""Probes told: printed, table, summary.json, the picture and the page."""

import shlex
from dataclasses import asdict
from typing import Any

from PIL import Image

from marmor.base.files import write_json
from marmor.base.progress import console
from marmor.figures import Picture, Report, Section, Table, Text, curves, save_png, write
from marmor.recipes.probing import Probed
from marmor.recipes.scoring import percent, with_interval
from marmor.recipes.tables import show_table
from marmor.recipes.text_image import activation_told

COLUMNS = ("learned from", "right", "low", "high")
HOW = (
    "Logistic regression on the embeddings, its regularisation chosen on training images held out: a fifth "
    "of all, or as many as are learned from, up to four a class. Intervals of 95 %: Student's over the draws "
    "for few images, otherwise Wilson's over the images that judge."
)
REFERENCES = (
    "Radford et al.: Learning Transferable Visual Models From Natural Language Supervision, 2021 "
    "(arXiv 2103.00020): linear probes and few-shot probes of CLIP.",
    "Zhou et al.: Learning to Prompt for Vision-Language Models, 2022 (arXiv 2109.01134): as many images "
    "choose as are learned from, up to four a class.",
)


def tell(found: Probed) -> None:
    """Prints what was found and writes it into the folder of the settings."""
    out = found.settings.out
    for sentence in (activation_told(found.facts, found.settings), *found.notes):
        console.print(f"note: {sentence}")
    rows = rows_of(found)
    show_table(COLUMNS, rows, out)
    write_json(out / "summary.json", summary(found))
    image = picture(found)
    save_png(image, out / "figures" / "shots.png")
    write(page(found, rows, image), out / "report.html")
    console.print(f"open the report: {out / 'report.html'}")


def summary(found: Probed) -> dict[str, Any]:
    """summary.json: flat figures under dotted names."""
    figures: dict[str, Any] = with_interval("linear.top1", found.linear)
    if found.words is not None:
        figures |= with_interval("words.top1", found.words)
    for count, part in found.few.items():
        figures |= with_interval(f"few.{count}.top1", part)
    return figures | {
        "linear.C": found.strength,
        "train.images": found.counts[0],
        "images": found.counts[1],
        "seeds": found.settings.seeds,
        "class_names": list(found.names.names),
        "model": {"path": str(found.settings.model), **asdict(found.facts)},
        "notes": list(found.notes),
    }


def rows_of(found: Probed) -> list[list[str]]:
    """A row for words, one for each count of images, one for all."""
    parts = [] if found.words is None else [("words alone", found.words)]
    parts += [(f"{count} a class", part) for count, part in found.few.items()]
    parts.append((f"all {found.counts[0]:,}", found.linear))
    return [[name, *(f"{100 * value:.1f} %" for value in part[:3])] for name, part in parts]


def picture(found: Probed) -> Image.Image:
    """Accuracy over images a class; words and all images as lines across."""
    counts = list(found.few) or [1, 2]
    lines = {"all images": (counts, [found.linear.value] * len(counts))}
    if found.words is not None:
        lines["words alone"] = (counts, [found.words.value] * len(counts))
    if found.few:
        lines["a few images a class"] = (counts, [part.value for part in found.few.values()])
    return curves(lines, "images of a class", "share right", "What a few labels add", logx=True)


def page(found: Probed, rows: list[list[str]], image: Image.Image) -> Report:
    """report.html."""
    shown = [
        Table("By what was learned from", COLUMNS, rows, HOW),
        Picture("Few images", "", "Accuracy over images a class.", image),
    ]
    sections = [Section("What do labels add?", items=shown)]
    if found.notes:
        sections.append(Section("What must be known", items=[Text("Of the images", found.notes)]))
    words = [] if found.words is None else [("words alone", percent(found.words), "no label seen")]
    return Report(
        title="Probes of embeddings",
        lead=f"{found.counts[1]:,} images judge, {found.counts[0]:,} were there to learn from; the network "
        "itself stays as it is.",
        headline=[*words, ("all labels", percent(found.linear), f"C = {found.strength:g}")],
        sections=sections,
        facts={"model": found.facts.kind, "activation": found.facts.activation},
        commands=[shlex.join(found.settings.command)],
        files=[("summary.json", "every figure"), ("table.csv", "the table")],
        references=REFERENCES,
    )
