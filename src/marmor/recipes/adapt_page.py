"""An adaptation told: the table as text, CSV and page, the pictures, summary.json."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from marmor.base.files import write_json
from marmor.data import ImageSet
from marmor.figures import (
    Picture,
    Report,
    Section,
    Table,
    Text,
    confusion,
    curves,
    save_png,
    scatter,
    write,
)
from marmor.metrics import Mean, agreement, mean, share
from marmor.recipes import adapting
from marmor.recipes.adapt import Result, Study, chosen_of, part_of
from marmor.recipes.plans import SOURCE_ONLY, TARGET_ONLY
from marmor.recipes.tables import show_table

POINTS = 500
"""Images of each domain in a picture of features."""
REFERENCES = (
    "Ganin et al.: Domain-Adversarial Training of Neural Networks, 2016 (arXiv 1505.07818).",
    "Long et al.: Conditional Adversarial Domain Adaptation, 2018 (arXiv 1705.10667).",
    "Sun, Saenko: Deep CORAL, 2016 (arXiv 1607.01719).",
    "Long et al.: Learning Transferable Features with Deep Adaptation Networks, 2015 (arXiv 1502.02791).",
    "French et al.: Self-ensembling for visual domain adaptation, 2018 (arXiv 1706.05208).",
    "Berthelot et al.: AdaMatch, 2022 (arXiv 2106.04732).",
    "Liang et al.: Do We Really Need to Access the Source Data? (SHOT), 2020 (arXiv 2002.08546).",
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
    write_json(path / "summary.json", figures_of(study, rows))
    images = pictures(study)
    for name, image in images.items():
        save_png(image, path / "figures" / f"{name}.png")
    write(page(study, rows, images), path / "report.html")
    return path / "report.html"


def rows_of(results: Sequence[Result]) -> list[Row]:
    """The table over seeds, in the order in which methods were trained, the upper bound last."""
    names = dict.fromkeys(result.method for result in results)
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
    figures: dict[str, Any] = {"method": study.adapted(), "seeds": study.settings.seeds}
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


def pictures(study: Study) -> dict[str, Image.Image]:
    """Features before and after, what is taken for what, and how the choice was made."""
    images: dict[str, Image.Image] = {}
    for role, method in (("before", SOURCE_ONLY), ("after", study.adapted())):
        points, domains, classes = _plane(study, method)
        names = study.pair.class_names
        images[f"features-{role}-class"] = scatter(points, classes, names, f"{method}: classes")
        title = f"{method}: domains"
        images[f"features-{role}-domain"] = scatter(points, domains, ("source", "target"), title)
    if study.pair.truth.test is not None:
        images["confusion"] = _confusion(study, study.pair.truth.test)
    images["choice"] = _choice(study)
    return images


def _plane(study: Study, method: str) -> tuple[Tensor, Tensor, Tensor]:
    """t-SNE of held-out images of both domains: points (N, 2), domains (N,), classes (N,).

    Classes of target images are the true ones where they are known, else those that are read.
    """
    pair = study.pair
    ready = chosen_of(study.run, pair, method, study.settings.seed).classifier
    source = pair.source_val.take(range(min(POINTS, len(pair.source_val))))
    target = pair.target_val.take(range(min(POINTS, len(pair.target_val))))
    own = adapting.with_statistics_of(ready, pair.source)
    of_source, _ = adapting.read(own, source)
    of_target, logits = adapting.read(ready, target)
    known = logits.argmax(1) if pair.truth.val is None else pair.truth.val[: len(target)]
    features = torch.cat([of_source, of_target]).numpy()
    from sklearn.manifold import TSNE  # slow to import, and few commands need it

    perplexity = min(30.0, (len(features) - 1) / 3)
    plane = TSNE(perplexity=perplexity, random_state=0).fit_transform(features)
    domains = torch.tensor([0] * len(source) + [1] * len(target))
    return torch.from_numpy(plane), domains, torch.cat([source.labels["class"], known])


def _confusion(study: Study, test: ImageSet) -> Image.Image:
    names, seed = study.pair.class_names, study.settings.seed
    classifier = chosen_of(study.run, study.pair, study.adapted(), seed).classifier
    _, logits = adapting.read(classifier, test)
    counts = agreement(test.labels["class"], logits.argmax(1), len(names)).confusion
    return confusion(counts, names, "Target test images", "class read", "class shown")


def _choice(study: Study) -> Image.Image:
    """The score that chooses, over training, for each seed of the adapted method."""
    series: dict[str, tuple[list[float], list[float]]] = {}
    for result in study.of(study.adapted()):
        part = part_of(study.run, result.method, result.seed)
        lines = adapting.scored(part)
        minutes = [line["seconds"] / 60 for line in lines]
        series[f"seed {result.seed}"] = (minutes, [line["information"] for line in lines])
    return curves(
        series,
        "minutes of training",
        "nats",
        "Information that answers to two views of the target share",
    )


def page(study: Study, rows: list[Row], images: dict[str, Image.Image]) -> Report:
    settings = study.settings
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
            ("model.safetensors", "the network that `marmor predict` reads with"),
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
        "what choosing without labels costs."
    )
    items: list[Picture | Table | Text] = [
        Table(
            "Accuracy on the target's test images", COLUMNS, [row.cells() for row in rows], caption
        )
    ]
    if "confusion" in images:
        what = f"{study.adapted()}, seed {study.settings.seed}. Rows: shown. Columns: read."
        items.append(
            Picture("What is taken for what", what, "Confusion matrix.", images["confusion"])
        )
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


def _features_section(study: Study, images: dict[str, Image.Image]) -> Section:
    items = [
        Picture(
            f"{when}: {'by class' if colour == 'class' else 'by domain'}",
            "t-SNE of features of held-out images; both pictures show the same points.",
            f"Scatter plot of features {when.lower()} adaptation, coloured by {colour}.",
            images[f"features-{when.lower()}-{colour}"],
        )
        for when in ("Before", "After")
        for colour in ("class", "domain")
    ]
    return Section(
        "Where the images lie", f"Seed {study.settings.seed}; BatchNorm follows each domain.", items
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
