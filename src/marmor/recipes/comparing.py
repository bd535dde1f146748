"""Several generators held against the same real images: one table, one picture, differences."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from marmor.base.errors import UserError
from marmor.base.files import write_json
from marmor.base.progress import console
from marmor.figures import intervals, save_png, stack
from marmor.metrics import difference
from marmor.recipes.evaluating import Evaluation, EvaluationSettings, evaluate
from marmor.recipes.evaluation_page import measures, summary, title_of
from marmor.recipes.tables import show_table


def compare(generated: Sequence[str], settings: EvaluationSettings, out: Path) -> Path:
    """Evaluates each, prints the table and writes it, the picture and summary.json into ``out``.

    Raises UserError as ``evaluate`` does, and for fewer than two generators.
    """
    if len(generated) < 2:
        raise UserError("name at least two sets of generated images to compare.")
    found = [evaluate(name, settings) for name in generated]
    for sentence in dict.fromkeys(s for one in found for s in one.warnings):
        console.print(f"note: {sentence}")
    show_table(("measure", *generated, *_heads(generated)), rows_of(found), out)
    write_json(out / "summary.json", {one.name: summary(one) for one in found})
    save_png(picture(found), out / "comparison.png")
    console.print(f"written: {out / 'summary.json'}, {out / 'comparison.png'}")
    return out / "comparison.png"


def _heads(generated: Sequence[str]) -> list[str]:
    return [f"{other} − {generated[0]}" for other in generated[1:]]


def rows_of(found: Sequence[Evaluation]) -> list[list[str]]:
    """Each measure of each generator, then what the others differ by from the first."""
    first, *others = found
    rows = []
    for name in measures(first):
        cells = [title_of(name, first.by), *(_cell(measures(one).get(name)) for one in found)]
        for other in others:
            apart = None
            if name in first.figures and name in other.figures:
                apart = difference(other.figures[name], first.figures[name])[:3]
            cells.append(_cell(apart))
        rows.append(cells)
    return rows


def picture(found: Sequence[Evaluation]) -> Image.Image:
    """A panel for each measure, a line for each generator, with the intervals drawn."""
    panels = [
        intervals(
            [one.name for one in found],
            [measures(one)[name] for one in found],
            title_of(name, found[0].by),
        )
        for name in measures(found[0])
        if all(name in measures(one) for one in found)
    ]
    return stack(panels)


def _cell(numbers: tuple[float, float, float] | None) -> str:
    if numbers is None:
        return "–"
    value, low, high = numbers
    return f"{value:.4g} ({low:.4g} to {high:.4g})"
