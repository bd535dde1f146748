"""Several generators held against the same real images: one table, one picture, differences, one page."""

import shlex
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path, PurePath
from typing import Any

from PIL import Image

from marmor.base.errors import UserError
from marmor.base.files import check_folder, write_json
from marmor.base.progress import console
from marmor.figures import Picture, Report, Section, Table, Text, intervals, save_png, stack, write
from marmor.metrics import apart, difference
from marmor.recipes.evaluating import Evaluation, EvaluationSettings, evaluate_all
from marmor.recipes.evaluation_page import HOW, REFERENCES, measures, summary, title_of
from marmor.recipes.evaluation_sets import Images
from marmor.recipes.tables import show_table

Numbers = tuple[float, float, float]
"""A value and the bounds of its 95 % interval."""


def compare(generated: Sequence[Images], settings: EvaluationSettings, out: Path) -> Path:
    """Evaluates all, prints the table and writes it, the picture, summary.json and report.html into ``out``.

    Raises UserError as ``evaluate_all`` does, for fewer than two generators, and where ``out`` can be no
    folder.
    """
    if len(generated) < 2:
        raise UserError("name at least two sets of generated images to compare.")
    check_folder(out)
    found = evaluate_all(generated, settings)
    known = tuple(dict.fromkeys(s for one in found for s in one.warnings))
    for sentence in known:
        console.print(f"note: {sentence}")
    columns, rows = columns_of(found), rows_of(found)
    show_table(columns, rows, out)
    write_json(out / "summary.json", {one.name: summary(one) for one in found} | differences(found))
    shown = picture(found)
    save_png(shown, out / "comparison.png")
    table = Table("Figures", columns, rows, HOW)
    write(page(found, table, known, shown), out / "report.html")
    console.print(f"written: {out / 'summary.json'}, {out / 'report.html'}")
    return out / "comparison.png"


def columns_of(found: Sequence[Evaluation]) -> list[str]:
    first, *others = names_of(found)
    return ["measure", first, *others, *(f"{other} − {first}" for other in others)]


def names_of(found: Sequence[Evaluation]) -> list[str]:
    """What the sets are called in the table and the picture."""
    return short([one.name for one in found])


def short(names: Sequence[str]) -> list[str]:
    """Of paths the last part, or as many parts as it takes to tell them apart."""
    parts = [PurePath(name).parts for name in names]
    for count in range(1, max(map(len, parts))):
        tails = ["/".join(each[-count:]) for each in parts]
        if len(set(tails)) == len(names):
            return tails
    return list(names)


def rows_of(found: Sequence[Evaluation]) -> list[list[str]]:
    """Each measure of each generator, then what the others differ by from the first."""
    first, *others = found
    return [
        [
            title_of(name, first.by),
            *(_cell(measures(one).get(name)) for one in found),
            *(_cell(between(other, first).get(name)) for other in others),
        ]
        for name in dict.fromkeys(name for one in found for name in measures(one))
    ]


def differences(found: Sequence[Evaluation]) -> dict[str, float]:
    """``difference.A.B.MEASURE``, that of A less that of B, with its interval, for every pair."""
    told: dict[str, float] = {}
    for earlier, later in combinations(found, 2):
        for name, (value, low, high) in between(later, earlier).items():
            key = f"difference.{later.name}.{earlier.name}.{name}"
            told |= {key: value, f"{key}.low": low, f"{key}.high": high}
    return told


def between(first: Evaluation, second: Evaluation) -> dict[str, Numbers]:
    """first − second for every measure that both have; those of the real images alone do not differ."""
    mine, theirs = first.of_splits(), second.of_splits()
    told: dict[str, Numbers] = {
        name: difference(mine[name], theirs[name])[:3] for name in mine if name in theirs
    }
    if first.agreement is not None and second.agreement is not None:
        told["judge.accuracy"] = apart(first.agreement, second.agreement)
    if first.faces is not None and second.faces is not None:
        told["faces.share"] = apart(first.faces.drawn, second.faces.drawn)
    return told


def page(
    found: Sequence[Evaluation], table: Table, known: Sequence[str], shown: Image.Image
) -> Report:
    """The page of a comparison."""
    warned = [Text("What must be known of them", known)] if known else []
    seen = Picture(
        "Every measure", "With intervals of 95 %.", "A panel a measure, a line a generator.", shown
    )
    facts: dict[str, Any] = {
        "features": found[0].by.title,
        "real images": f"{len(found[0].real):,}",
        **{
            name: f"{len(one.generated):,} images of {one.name}"
            for name, one in zip(names_of(found), found, strict=True)
        },
    }
    return Report(
        title="Generators held against the same real images",
        sections=[Section("Which is the most like real ones?", items=[table, seen, *warned])],
        commands=[shlex.join(["marmor", "compare", *(one.name for one in found), *found[0].words])],
        facts=facts,
        files=[("summary.json", "every figure and difference"), ("table.csv", "the table")],
        references=REFERENCES,
    )


def picture(found: Sequence[Evaluation]) -> Image.Image:
    """A panel for each measure, a line for each generator, with the intervals drawn."""
    names = names_of(found)
    panels = [
        intervals(
            names,
            [measures(one)[name] for one in found],
            title_of(name, found[0].by),
        )
        for name in measures(found[0])
        if all(name in measures(one) for one in found)
    ]
    return stack(panels)


def _cell(numbers: Numbers | None) -> str:
    if numbers is None:
        return "–"
    value, low, high = numbers
    return f"{value:.4g} ({low:.4g} to {high:.4g})"
