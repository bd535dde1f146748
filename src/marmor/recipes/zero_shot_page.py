"""Zero-shot answers told: printed, predictions.csv, summary.json, pictures and the page."""

import shlex
from dataclasses import asdict
from typing import Any

from PIL import Image

from marmor.base.files import write_csv, write_json
from marmor.base.progress import console
from marmor.figures import (
    Case,
    Picture,
    Report,
    Section,
    Table,
    Text,
    bars,
    cases,
    confusion,
    intervals,
    reliability,
    save_png,
    write,
)
from marmor.recipes import zero_shot_explained
from marmor.recipes.naming import file_names
from marmor.recipes.scoring import percent, with_interval
from marmor.recipes.tables import show_table
from marmor.recipes.text_image import activation_told
from marmor.recipes.zero_shot import FEW, Compared, Scores, ZeroShot

COLUMNS = ("class", "right", "low", "high", "images")
HEADS = {"right": "right", "wrong": "wrong", "any": "some pictures"}
SHOWN = 15
"""Compared templates in the picture."""
REFERENCES = (
    "Radford et al.: Learning Transferable Visual Models From Natural Language Supervision, 2021 "
    "(arXiv 2103.00020): CLIP, its templates, and ensembles of prompts.",
    "Zhai et al.: Sigmoid Loss for Language Image Pre-Training, 2023 (arXiv 2303.15343): SigLIP.",
    "Guo et al.: On Calibration of Modern Neural Networks, 2017 (arXiv 1706.04599): calibration error.",
    "Wilson: Probable Inference, 1927: intervals of shares.",
    "Agresti, Min: Simple improved confidence intervals for comparing matched proportions, 2005.",
)
LUCK = (
    "The best of many single sentences is the luckiest too, and its interval does not know that it was "
    "chosen; choose sentences on other pictures than those that judge them."
)


def tell(found: ZeroShot) -> None:
    """Prints what was found and writes it into the folder of the settings."""
    out = found.settings.out
    for sentence in (activation_told(found.facts, found.settings), *found.notes):
        console.print(f"note: {sentence}")
    if found.scores is not None:
        show_table(COLUMNS, rows_of(found, found.scores), out)
    if found.compared:
        write_csv(out / "templates.csv", [COMPARED, *compared_rows(found.compared)])
    write_csv(out / "predictions.csv", predictions(found))
    write_json(out / "summary.json", summary(found))
    pictures = pictures_of(found)
    for name, image in pictures.items():
        save_png(image, out / "figures" / f"{name}.png")
    write(page(found, pictures), out / "report.html")
    if found.settings.explain:
        matrix = zero_shot_explained.matrix(found)
        save_png(matrix, out / "figures" / "cosines.png")
        write(zero_shot_explained.page(found, pictures["cases"], matrix), out / "explain.html")
    console.print(f"{len(found.images)} answers → {out / 'predictions.csv'}")
    console.print(f"open the report: {out / 'report.html'}")


def predictions(found: ZeroShot) -> list[list[str]]:
    """predictions.csv, its header first: the class read, its number and probability, the truth, the first."""
    truths = [""] * len(found.images)
    if found.scores is not None:
        truths = [found.names.names[k] for k in found.scores.truth.tolist()]
    rows = [["image_name", "label", "id", "probability", "truth", "top"]]
    for index, (name, truth) in enumerate(zip(file_names(found.images), truths, strict=True)):
        few = found.few(index)
        first, sure = few[0]
        top = "|".join(found.names.names[k] for k, _ in few)
        rows.append(
            [name, found.names.names[first], found.names.ids[first], f"{sure:.6f}", truth, top]
        )
    return rows


def summary(found: ZeroShot) -> dict[str, Any]:
    """summary.json: flat figures under dotted names, and everything they follow from."""
    figures: dict[str, Any] = {"images": len(found.images), "classes": len(found.names)}
    if found.scores is not None:
        figures |= _figures(found, found.scores)
    return figures | {
        "model": {"path": str(found.settings.model), **asdict(found.facts)},
        "templates": list(found.templates),
        "class_names": list(found.names.names),
        "compared": [
            {"templates": one.name, "count": one.count}
            | with_interval("top1", one.top1)
            | with_interval("difference", one.difference)
            for one in found.compared
        ],
        "cases": {
            kind: [_case_facts(found, i) for i in which] for kind, which in found.cases().items()
        },
        "seed": found.settings.seed,
        "notes": list(found.notes),
    }


def _figures(found: ZeroShot, scores: Scores) -> dict[str, Any]:
    figures: dict[str, Any] = {**with_interval("top1", scores.top1), "chance": 1 / len(found.names)}
    if scores.top5 is not None:
        figures |= with_interval("top5", scores.top5)
    for name, part in zip(found.names.names, scores.agreement.per_class, strict=True):
        if part.count:
            figures |= with_interval(f"top1.{name}", part)
    told = scores.calibration
    return figures | {
        "calibration.error": told.error,
        "calibration.bins": [
            {"confidence": each.confidence, **each.accuracy._asdict()} for each in told.bins
        ],
        "confusion": scores.agreement.confusion.tolist(),
    }


def _case_facts(found: ZeroShot, index: int) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "image_name": file_names(found.images)[index],
        "top": [[found.names.names[k], value] for k, value in found.few(index)],
    }
    if found.scores is not None:
        facts["truth"] = found.names.names[int(found.scores.truth[index])]
        facts["rank"] = int(found.scores.ranks[index])
    return facts


def rows_of(found: ZeroShot, scores: Scores) -> list[list[str]]:
    """The table: a row for each class that pictures show, then all together."""
    parts = list(zip(found.names.names, scores.agreement.per_class, strict=True))
    parts = [(name, part) for name, part in parts if part.count]
    parts.append(("all", scores.top1))
    if scores.top5 is not None:
        parts.append((f"all, among the first {FEW}", scores.top5))
    return [
        [name, *(f"{100 * value:.1f} %" for value in part[:3]), str(part.count)]
        for name, part in parts
    ]


COMPARED = ("sentences", "how many", "right", "low", "high", "difference", "low", "high")


def compared_rows(compared: tuple[Compared, ...]) -> list[list[str]]:
    """A row for each list and each single template, in per cent and points."""
    return [
        [one.name, str(one.count)]
        + [f"{100 * value:.2f}" for value in one.top1[:3]]
        + [f"{100 * value:+.2f}" for value in one.difference[:3]]
        for one in compared
    ]


def pictures_of(found: ZeroShot) -> dict[str, Image.Image]:
    """Every picture by its name."""
    drawn = {
        "cases": cases([(HEADS[kind], _cases(found, which)) for kind, which in _filled(found)])
    }
    if found.compared:
        some = found.compared[:SHOWN]
        drawn["templates"] = intervals(
            [one.name for one in some], [one.top1[:3] for one in some], "Top-1 by sentences"
        )
    if found.scores is None:
        return drawn
    told = found.scores.calibration.bins
    drawn["calibration"] = reliability(
        [each.confidence for each in told],
        [each.accuracy[:3] for each in told],
        "Sure and right",
    )
    drawn["confusion"] = confusion(
        found.scores.agreement.confusion, found.names.names, "Shown and read", ylabel="class shown"
    )
    parts = [
        (name, part[:3])
        for name, part in zip(found.names.names, found.scores.agreement.per_class, strict=True)
        if part.count
    ]
    drawn["classes"] = bars([name for name, _ in parts], [part for _, part in parts], "By class")
    return drawn


def _filled(found: ZeroShot) -> list[tuple[str, list[int]]]:
    return [(kind, which) for kind, which in found.cases().items() if which]


def _cases(found: ZeroShot, which: list[int]) -> list[Case]:
    shown = []
    for index in which:
        truth = None
        if found.scores is not None:
            truth = found.names.names[int(found.scores.truth[index])]
        classes = [(found.names.names[k], value) for k, value in found.few(index)]
        shown.append(
            Case(found.images.images[index], file_names(found.images)[index], classes, truth)
        )
    return shown


def page(found: ZeroShot, pictures: dict[str, Image.Image]) -> Report:
    """report.html."""
    sections = [Section("Cases", items=[_cases_shown(pictures["cases"], found)])]
    if found.scores is not None:
        sections = [_scores_told(found, found.scores, pictures), *sections]
    if found.compared:
        sections.append(_templates_told(found, pictures["templates"]))
    if found.notes:
        sections.append(
            Section("What must be known", items=[Text("Of pictures and sentences", found.notes)])
        )
    facts = found.facts
    return Report(
        title="Told apart by words",
        lead=f"{len(found.images):,} pictures, {len(found.names)} classes, none of them trained on here.",
        headline=_headline(found),
        sections=sections,
        facts={
            "model": facts.kind,
            "activation": facts.activation,
            "side of pictures": facts.sight.side,
            "scale of cosines": facts.scale,
            "templates": f"{found.settings.templates}, {len(found.templates)}",
        },
        commands=[shlex.join(found.settings.command)],
        files=[
            ("predictions.csv", "what was read in each picture"),
            ("summary.json", "every figure, and what it follows from"),
        ],
        references=REFERENCES,
    )


def _headline(found: ZeroShot) -> list[tuple[str, str, str]]:
    if found.scores is None:
        return []
    chance = f"chance: {100 / len(found.names):.1f} %"
    cards = [("right", percent(found.scores.top1), chance)]
    if found.scores.top5 is not None:
        cards.append((f"among the first {FEW}", percent(found.scores.top5), ""))
    error = found.scores.calibration.error
    return [*cards, ("calibration error", f"{100 * error:.1f} points", "0 is best")]


def _cases_shown(image: Image.Image, found: ZeroShot) -> Picture:
    return Picture(
        "Answers",
        f"Drawn at random by seed {found.settings.seed}. Bars: the likeliest classes; green is the true one.",
        "Pictures, each beside bars of its likeliest classes.",
        image,
    )


def _scores_told(found: ZeroShot, scores: Scores, pictures: dict[str, Image.Image]) -> Section:
    return Section(
        "How often right?",
        items=[
            Table("By class", COLUMNS, rows_of(found, scores), "Intervals of 95 %, Wilson's."),
            Picture(
                "Classes", "With 95 % intervals.", "A bar for each class.", pictures["classes"]
            ),
            Picture(
                "Confusion",
                "Rows are what pictures show, columns what was read.",
                "A matrix of counts of classes shown and read.",
                pictures["confusion"],
            ),
            Picture(
                "Calibration",
                "Points on the line are as often right as they are sure; below it, answers are too sure. "
                f"Mean distance (ECE, 15 bins): {100 * scores.calibration.error:.1f} points; too large where "
                "there are few pictures.",
                "Accuracy against confidence, with intervals.",
                pictures["calibration"],
            ),
        ],
    )


def _templates_told(found: ZeroShot, image: Image.Image) -> Section:
    return Section(
        "Which sentences?",
        lead="Whole lists first, then single sentences; differences are to the chosen list.",
        items=[
            Picture("Top-1", LUCK, "A point with an interval for each list or sentence.", image),
            Table("All of them, in per cent and points", COMPARED, compared_rows(found.compared)),
        ],
    )
