"""Scores of drawn concepts told: printed, tables, summary.json, pictures and the page."""

import shlex
from dataclasses import asdict
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from marmor.base.files import write_csv, write_json
from marmor.base.progress import console
from marmor.figures import (
    Picture,
    Report,
    Section,
    Table,
    Text,
    intervals,
    save_png,
    side_by_side,
    stack,
    strip,
    write,
)
from marmor.metrics import Mean, Share
from marmor.recipes.exploring import scale_of
from marmor.recipes.personal_judging import BEST, TEXT_WEIGHT, PromptScores
from marmor.recipes.personal_scoring import SEVERAL, Group, Method, PersonalScores, differences
from marmor.recipes.references import CUSTOM, INVERSION
from marmor.recipes.scoring import percent, with_interval
from marmor.recipes.tables import show_table
from marmor.recipes.text_image import activation_told

COLUMNS = (
    "method",
    "prompts of",
    "image score",
    "text score",
    "leak",
    "told apart",
    "both present",
    "swapped",
    "pictures",
)
TITLES = {
    "image": "Image score",
    "text": "Text score",
    "leak": "Leak",
    "told_apart": "Objects told apart by the CLIP",
    "present": "Every object found by the judge",
    "swapped": "A swapped object found by the judge",
}
PROMPT_COLUMNS = (
    "method",
    "entry",
    "prompt",
    "words",
    "best image",
    "best text",
    "baseline image",
    "baseline text",
    "passed",
    "image",
    "text",
    "leak",
)
IMAGE_COLUMNS = (
    "method",
    "entry",
    "prompt",
    "image_name",
    "image",
    "text",
    "total",
    "best",
    "leak",
    "told_apart",
    "all_present",
    "swapped",
)
REFERENCES = (
    "Radford et al.: Learning Transferable Visual Models From Natural Language Supervision, 2021 "
    "(arXiv 2103.00020): CLIP.",
    INVERSION,
    CUSTOM,
    "Bar-Tal et al.: MultiDiffusion, 2023 (arXiv 2302.08113): prompts in regions.",
    "Hertz et al.: Prompt-to-Prompt, 2022 (arXiv 2208.01626): maps of cross-attention.",
)
MEANING = (
    "Image score: 100 × the mean cosine of a picture and the photos, of several concepts their mean. Text "
    "score: the CLIP's logit of the picture and its prompt in plain words.",
    "Leak: what lies where the network looks for a word is cut out and held against the photos: how much "
    "more it looks like another concept than like its own. At 0 it is like both alike, below 0 more like its "
    "own.",
    "Told apart: the share of pictures in which every such piece looks most like its own concept. Both "
    "present: the share of pictures in which the judge of scenes finds every object. "
    "Swapped: the share in which it finds the colour of one with the shape of another, which nobody asked "
    "for: a leak by a judge that knows the truth.",
    "Intervals are over pictures, with the prompts as they are: Student's for means, Wilson's for shares.",
)


def tell(found: PersonalScores) -> None:
    """Prints what was found and writes it into the folder of the settings."""
    out = found.settings.out
    for sentence in (activation_told(found.facts, found.settings), *found.notes):
        console.print(f"note: {sentence}")
    show_table(COLUMNS, rows_of(found), out)
    write_csv(out / "prompts.csv", [PROMPT_COLUMNS, *prompt_rows(found)])
    write_csv(out / "images.csv", [IMAGE_COLUMNS, *image_rows(found)])
    write_json(out / "summary.json", summary(found))
    pictures = {f"best-{method.name}": best_picture(method) for method in found.methods}
    pictures["measures"] = measures_picture(found)
    for name, image in pictures.items():
        save_png(image, out / "figures" / f"{name}.png")
    write(page(found, pictures), out / "report.html")
    if judged := [p for method in found.methods for p in method.prompts if p.passed is not None]:
        passed = sum(bool(prompt.passed) for prompt in judged)
        console.print(f"{passed} of {len(judged)} prompts reach their baseline")
    console.print(f"open the report: {out / 'report.html'}")


def rows_of(found: PersonalScores) -> list[list[str]]:
    """The table: each method, for prompts of one concept and of several."""
    return [
        [
            method.name,
            group.name,
            *(_cell(getattr(group, name), name) for name in TITLES),
            str(group.images),
        ]
        for method in found.methods
        for group in method.groups()
    ]


def prompt_rows(found: PersonalScores) -> list[list[str]]:
    """prompts.csv without its header."""
    return [
        [
            method.name,
            each.entry.id,
            each.entry.prompts[each.number],
            " ".join(each.entry.words),
            *(f"{value:.4f}" for value in each.best_means),
            *(f"{value:g}" for value in each.baseline or ()),
            *(() if each.baseline else ("", "")),
            "" if each.passed is None else _said(each.passed),
            f"{each.image.mean():.4f}",
            f"{each.text.mean():.4f}",
            "" if each.leak is None else f"{each.leak.mean():.4f}",
        ]
        for method in found.methods
        for each in method.prompts
    ]


def image_rows(found: PersonalScores) -> list[list[str]]:
    """images.csv without its header."""
    return [
        [method.name, each.entry.id, str(each.number), *_image_cells(each, place)]
        for method in found.methods
        for each in method.prompts
        for place in range(len(each.images))
    ]


def _image_cells(scores: PromptScores, place: int) -> list[str]:
    return [
        scores.images.names[place],
        *(f"{each[place]:.6f}" for each in (scores.image, scores.text, scores.total)),
        _said(place in scores.best),
        "" if scores.leak is None else f"{scores.leak[place]:.6f}",
        "" if scores.told_apart is None else _said(scores.told_apart[place]),
        "" if scores.present is None else _said(scores.present[place]),
        "" if scores.swapped is None else _said(scores.swapped[place]),
    ]


def _said(value: Tensor | bool) -> str:
    return str(bool(value)).lower()


def summary(found: PersonalScores) -> dict[str, Any]:
    """summary.json: the figures of each method, the differences to the first, and what they follow from."""
    first, *others = found.methods
    return {
        "methods": {
            method.name: {group.name: _figures(group) for group in method.groups()}
            | {"prompts": [_prompt_facts(each) for each in method.prompts]}
            for method in found.methods
        },
        "against": first.name,
        "differences": {
            other.name: {
                name: {
                    key: value
                    for figure, apart in differences(first, other, name).items()
                    for key, value in with_interval(figure, apart).items()
                }
                for name in SEVERAL
            }
            for other in others
        },
        "leak.photos": dict(found.photo_leaks),
        "model": {"path": str(found.settings.model), **asdict(found.facts)},
        "judge": found.settings.judge,
        "input": str(found.settings.input),
        "notes": list(found.notes),
    }


def _figures(group: Group) -> dict[str, float]:
    known = {name: getattr(group, name) for name in TITLES}
    figures: dict[str, float] = {"images": group.images}
    for name, figure in known.items():
        if figure is not None:
            figures |= with_interval(name, figure)
    return figures


def _prompt_facts(scores: PromptScores) -> dict[str, Any]:
    image, text = scores.best_means
    return {
        "entry": scores.entry.id,
        "prompt": scores.entry.prompts[scores.number],
        "best": [scores.images.names[place] for place in scores.best],
        "best.image": image,
        "best.text": text,
        "baseline": scores.baseline,
        "passed": scores.passed,
    }


def best_picture(method: Method) -> Image.Image:
    """The best five of each prompt in a row, with their scores."""
    rows = []
    for scores in method.prompts:
        chosen = scores.images.images[torch.tensor(scores.best)]
        captions = [
            f"image {scores.image[place]:.1f}\ntext {scores.text[place]:.1f}"
            for place in scores.best
        ]
        row = strip(chosen, captions, scale_of(chosen))
        rows.append(side_by_side([row], [scores.entry.prompts[scores.number]]))
    return stack(rows)


def measures_picture(found: PersonalScores) -> Image.Image:
    """A panel for each figure that is known, a line for each method and kind of prompts."""
    panels = []
    for name, title in TITLES.items():
        known = [
            (f"{method.name}, {group.name}", figure)
            for method in found.methods
            for group in method.groups()
            if (figure := getattr(group, name)) is not None
        ]
        if known:
            panels.append(
                intervals([label for label, _ in known], [each[:3] for _, each in known], title)
            )
    return stack(panels)


def page(found: PersonalScores, pictures: dict[str, Image.Image]) -> Report:
    """report.html."""
    sections = [
        Section(
            "How they do",
            items=[
                Table("Methods", COLUMNS, rows_of(found), "Intervals of 95 % in brackets."),
                Picture(
                    "Measures",
                    "With 95 % intervals.",
                    "A panel for each figure, a point with its interval for each method.",
                    pictures["measures"],
                ),
                Text("What the figures mean", [*MEANING, *_floors(found)]),
            ],
        ),
        Section(
            f"The best {BEST}",
            lead=f"Of each prompt, by image + {TEXT_WEIGHT:g} × text.",
            items=[
                *(
                    Picture(
                        method.name,
                        "A row for each prompt, the best at the left.",
                        f"The best pictures of each prompt, drawn by {method.name}.",
                        pictures[f"best-{method.name}"],
                    )
                    for method in found.methods
                ),
                Table("Prompts", PROMPT_COLUMNS, prompt_rows(found)),
            ],
        ),
    ]
    if found.notes:
        sections.append(
            Section("What must be known", items=[Text("Of these figures", found.notes)])
        )
    return Report(
        title="Concepts drawn",
        lead=f"{len(found.methods)} folders of pictures, judged by {found.facts.kind}.",
        sections=sections,
        facts={
            "model": found.facts.kind,
            "activation": found.facts.activation,
            "scale of cosines": found.facts.scale,
        },
        commands=[shlex.join(found.command)],
        files=[
            ("images.csv", "every picture's scores"),
            ("prompts.csv", "every prompt's, its best and its baseline"),
            ("table.csv", "the methods"),
            ("summary.json", "every figure, and what it follows from"),
        ],
        references=REFERENCES,
    )


def _floors(found: PersonalScores) -> list[str]:
    """What the photos themselves leak."""
    return [
        f"The photos of entry {name} themselves, each against the others, leak {value:.3f}; so would "
        "pictures as good as photos."
        for name, value in found.photo_leaks.items()
    ]


def _cell(figure: Mean | Share | None, name: str) -> str:
    if figure is None:
        return "–"
    value, low, high = figure[:3]
    if isinstance(figure, Share):
        return percent(figure)
    digits = 3 if name == "leak" else 2
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
