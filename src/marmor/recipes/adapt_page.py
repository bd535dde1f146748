"""An adaptation told: the table as text, CSV and page, the pictures, summary.json."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from marmor.base.files import write_json
from marmor.base.progress import console
from marmor.figures import (
    Picture,
    Report,
    Section,
    Table,
    Text,
    save_png,
    write,
)
from marmor.metrics import Mean, mean, share
from marmor.recipes.adapt import Study
from marmor.recipes.adapt_doubts import doubts_of, seeds_agree
from marmor.recipes.adapt_pictures import pictures
from marmor.recipes.adapt_results import Result, in_order
from marmor.recipes.plans import BEST, SOURCE_ONLY, TARGET_ONLY
from marmor.recipes.tables import show_table

REFERENCES = (
    "Ganin et al.: Domain-Adversarial Training of Neural Networks, 2016 (arXiv 1505.07818).",
    "Long et al.: Conditional Adversarial Domain Adaptation, 2018 (arXiv 1705.10667).",
    "Sun, Saenko: Deep CORAL, 2016 (arXiv 1607.01719).",
    "Long et al.: Learning Transferable Features with Deep Adaptation Networks, 2015 (arXiv 1502.02791).",
    "French et al.: Self-ensembling for visual domain adaptation, 2018 (arXiv 1706.05208).",
    "Berthelot et al.: AdaMatch, 2022 (arXiv 2106.04732).",
    "Liang et al.: Do We Really Need to Access the Source Data? (SHOT), 2020 (arXiv 2002.08546).",
    "Lee: Pseudo-Label, 2013.",
    "Ji et al.: Invariant Information Clustering, 2019 (arXiv 1807.06653), whose score chooses checkpoints.",
    "Jiang et al.: Assessing Generalization of SGD via Disagreement, 2022 (arXiv 2106.13799).",
    "Li et al.: Revisiting Batch Normalization For Practical Domain Adaptation, 2016 (arXiv 1603.04779).",
    "van der Maaten, Hinton: Visualizing Data using t-SNE, 2008.",
)
COLUMNS = ("method", "target accuracy", "low", "high", "oracle's", "source", "minutes", "runs")


@dataclass(frozen=True)
class Row:
    """One method over all seeds; accuracies in [0, 1], None where the target has no labels."""

    method: str
    accuracy: Mean | None
    oracle: Mean | None
    source: Mean | None
    minutes: Mean

    def cells(self) -> list[str]:
        """As ``COLUMNS`` names them."""
        return [
            self.method,
            _percent(self.accuracy and self.accuracy.value),
            _percent(self.accuracy and max(0.0, self.accuracy.low)),
            _percent(self.accuracy and min(1.0, self.accuracy.high)),
            _percent(self.oracle and self.oracle.value),
            _percent(self.source and self.source.value),
            f"{self.minutes.value:.1f}",
            str(self.minutes.count),
        ]


def tell(study: Study) -> Path:
    """Prints and writes everything that is said of a finished study; returns the page."""
    path = study.run.path
    rows = rows_of(study.results)
    show_table(COLUMNS, [row.cells() for row in rows], path)
    alike = seeds_agree(study)
    doubts = doubts_of(study, alike)
    for doubt in doubts:
        console.print(f"in doubt: {doubt}")
    figures = figures_of(study, rows) | {"doubts": doubts}
    write_json(path / "summary.json", figures | ({} if alike is None else {"seeds.agree": alike}))
    images = pictures(study)
    for name, image in images.items():
        save_png(image, path / "figures" / f"{name}.png")
    write(page(study, rows, images, _trust_section(doubts, alike)), path / "report.html")
    return path / "report.html"


def rows_of(results: Sequence[Result]) -> list[Row]:
    """The table over seeds; a method that `best` tried with some of them only is the mean of those."""
    names = dict.fromkeys(result.method for result in in_order(results))
    return [_row(name, [one for one in results if one.method == name]) for name in names]


def _row(name: str, results: list[Result]) -> Row:
    def over(column: str) -> list[float]:
        return [getattr(result, column) for result in results]

    first = results[0]
    return Row(
        name,
        None if first.accuracy is None else _share(over("accuracy"), first.test_images),
        None if first.oracle is None else _share(over("oracle"), first.test_images),
        None if name == TARGET_ONLY else mean(over("source_accuracy")),
        mean(over("minutes")),
    )


def _share(values: list[float], images: int) -> Mean:
    """The mean over runs; of one run, with the interval that its images leave."""
    if len(values) > 1:
        return mean(values)
    alone = share(round(values[0] * images), images)
    return Mean(values[0], alone.low, alone.high, 1)


def figures_of(study: Study, rows: list[Row]) -> dict[str, Any]:
    """summary.json: flat figures under dotted names; means over seeds and their 95 % intervals."""
    figures: dict[str, Any] = {
        "method": study.adapted(),
        "seeds": study.settings.seeds,
        "kept.seed": study.kept().seed,
        "kept.method": study.kept().network,
        "kept.methods": [result.network for result in study.of(study.adapted())],
    }
    roles = {SOURCE_ONLY: "source", study.adapted(): "adapt", TARGET_ONLY: "target"}
    for row in rows:
        figures |= _interval(f"method.{row.method}.accuracy", row.accuracy)
        if row.method in roles:
            figures |= _interval(f"{roles[row.method]}.accuracy", row.accuracy)
        if row.method == study.adapted():
            figures |= _interval("oracle.accuracy", row.oracle)
    figures["retreats"] = sum(len(result.retreats) for result in study.results)
    return figures


def _interval(name: str, found: Mean | None) -> dict[str, float]:
    if found is None:
        return {}
    low, high = max(0.0, found.low), min(1.0, found.high)
    return {name: found.value, f"{name}.low": low, f"{name}.high": high}


def page(study: Study, rows: list[Row], images: dict[str, Image.Image], trust: Section) -> Report:
    settings, kept = study.settings, study.kept()
    given = {name: value for name, value in asdict(settings).items() if value is not None}
    asked = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    source, target = (Path(spec).stem or spec for spec in (settings.source, settings.target))
    return Report(
        title=f"{study.run.path.name}: from {source} to {target}",
        lead=(
            f"A classifier for {target} from the labels of {source}. Training and the "
            "choice among checkpoints read no target labels; the table does, where there are any."
        ),
        headline=_headline(study, rows),
        sections=[
            trust,
            _table_section(study, rows, images),
            _features_section(study, images),
            _guard_section(study),
        ],
        facts={
            "source": f"{settings.source}, {len(study.pair.source):,} images",
            "target": f"{settings.target}, {len(study.pair.target):,} images",
            "conversions": " ".join(study.pair.notes) or "none",
            "seeds": f"{settings.seed} … {settings.seed + settings.seeds - 1}",
            "processor": study.run.environment["processor"],
        },
        commands=[
            f"marmor adapt {shlex.join(asked)}",
            f"marmor predict {shlex.quote(str(settings.run))} IMAGES --out pred.csv",
        ],
        files=[
            ("summary.json", "every figure of this page under a dotted name"),
            ("table.csv", "the table"),
            (
                "model.safetensors",
                f"the network that `marmor predict` reads with: {kept.network}, seed {kept.seed}",
            ),
            ("parts", "a run folder for each method and seed"),
        ],
        references=REFERENCES,
    )


def _headline(study: Study, rows: list[Row]) -> list[tuple[str, str, str]]:
    cards = []
    wanted = {SOURCE_ONLY: "no adaptation", study.adapted(): "adapted", TARGET_ONLY: "upper bound"}
    for row in rows:
        if row.method in wanted and row.accuracy is not None:
            count = row.accuracy.count
            runs = f"mean of {count} runs" if count > 1 else "one run"
            cards.append(
                (wanted[row.method], _percent(row.accuracy.value), f"{row.method}, {runs}")
            )
    return cards


def _table_section(study: Study, rows: list[Row], images: dict[str, Image.Image]) -> Section:
    caption = (
        "Means over seeds with 95 % intervals (Student's t; of one seed, Wilson's over its images). "
        "“oracle's” is what the target's held-out labels would have chosen among the same checkpoints: "
        "what choosing without labels costs. Minutes are of training, without the scoring of checkpoints."
    )
    if study.adapted() == BEST:
        taken = "; ".join(f"seed {one.seed}: {one.network}" for one in study.of(BEST))
        caption += (
            f" “best” came to {taken}. What it tried with some seeds only is the mean of those."
        )
    items: list[Picture | Table | Text] = [
        Table(
            "Accuracy on the target's test images", COLUMNS, [row.cells() for row in rows], caption
        )
    ]
    for role, method in (("before", SOURCE_ONLY), ("after", study.adapted())):
        if f"confusion-{role}" in images:
            what = f"{method}, seed {study.kept().seed}. Rows: shown. Columns: read."
            title = f"What is taken for what, {role} adaptation"
            items.append(Picture(title, what, "Confusion matrix.", images[f"confusion-{role}"]))
    items.append(
        Picture(
            "How the checkpoint was chosen",
            "Mutual information between the answers to held-out target images and to slightly changed "
            "copies of them, without labels; the highest is kept among checkpoints that still read the "
            "source and say every class.",
            "Curves of information over training, one for each seed.",
            images["choice"],
        )
    )
    return Section("How well it reads the target", "", items)


def _trust_section(doubts: list[str], alike: float | None) -> Section:
    """What speaks against the networks of the run, in words."""
    said = doubts or [
        "No sign of trouble: classes are answered evenly, the source is still read, and what the unadapted "
        "network is surest of is answered alike. Only labels can prove more: label a hundred target images "
        "and compare."
    ]
    if alike is not None:
        said = [
            *said,
            f"Networks of two seeds answer {100 * alike:.1f} % of held-out target images alike.",
        ]
    return Section("Can it be trusted?", "", [Text("In doubt" if doubts else "No doubts", said)])


def _features_section(study: Study, images: dict[str, Image.Image]) -> Section:
    known = study.pair.truth.val is not None
    coloured = "" if known else " The target has no labels: its classes are those that are read."
    items = [
        Picture(
            f"{when}: {'by class' if colour == 'class' else 'by domain'}",
            f"t-SNE of features of held-out images; both pictures show the same points.{coloured}",
            f"Scatter plot of features {when.lower()} adaptation, coloured by {colour}.",
            images[f"features-{when.lower()}-{colour}"],
        )
        for when in ("Before", "After")
        for colour in ("class", "domain")
    ]
    return Section(
        "Where the images lie", f"Seed {study.kept().seed}; BatchNorm follows each domain.", items
    )


def _guard_section(study: Study) -> Section:
    told = [
        f"{result.method}, seed {result.seed}: at step {retreat['record']['step']} "
        f"{retreat['why']}; went back to step {retreat['back_to']} and went on more gently."
        for result in study.results
        for retreat in result.retreats
    ]
    said = told or ["No run collapsed."]
    return Section("The collapse guard", "", [Text("What it did", said)])


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"
