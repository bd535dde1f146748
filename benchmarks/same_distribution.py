"""Do the measures stand still for real images against real ones, and move for what was done to them?

    python benchmarks/same_distribution.py --data faces64_train.zip

Parts real images at random: one part stands for the real ones, one for the training images, and another half
of the real ones is measured as it is, blurred, compressed as JPEG, each image several times, and with a part
of what the images show left out (the later half of the classes; of images without classes the brighter ones);
then the training images themselves. As they are, distances must be 0 within their intervals and images no
closer to training ones than others; all else must move a measure, chosen before, from what it was of the half
as it is. Intervals are of 95 % each, and for images that are there several times too narrow, since splits
take them for different ones. Writes table.txt, table.csv and results.json.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro
from torch import Tensor
from torchvision.io import decode_jpeg, encode_jpeg
from torchvision.transforms.functional import gaussian_blur

from marmor.base.errors import UserError
from marmor.base.files import write_json
from marmor.base.progress import console
from marmor.base.seeds import torch_stream
from marmor.data import CLASS, ImageSet, read
from marmor.metrics import Figure, difference
from marmor.recipes.evaluating import Evaluation, EvaluationSettings, evaluate_all
from marmor.recipes.tables import show_table

DISTANCE, KERNEL, CLOSER = "Fréchet, extrapolated", "kernel distance", "closer to training"
MEASURES = (DISTANCE, KERNEL, "precision", "recall", "density", "coverage", CLOSER)
AS_IT_IS = "as it is"
STILL = {DISTANCE: 0.0, KERNEL: 0.0, CLOSER: 0.5}
"""What the intervals of the half as it is must hold."""
UP, DOWN = "↑", "↓"
MOVES = {
    "blurred": {DISTANCE: UP, KERNEL: UP},
    "JPEG": {DISTANCE: UP, KERNEL: UP},
    "a part left out": {"recall": DOWN, "coverage": DOWN},
    "each several times": {"recall": DOWN, "coverage": DOWN},
    "training images": {CLOSER: UP},
}
"""Which measures must move, and in which direction, for what was done to the half.

Of blurred images precision need not fall: blur draws features to their middle, which lies within the balls of
real images.
"""
COLUMNS = ("images", "measure", "figure", "less that as it is", "should", "did", "right")


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Args:
        data: real images, at least four times ``count``.
        count: images of each set.
        size: side to bring images to; their own when left out.
        features: what measures distances, as `marmor evaluate` takes it.
        blur: standard deviation of the Gaussian blur, in pixels.
        quality: of JPEG, 1 to 100.
        times: how often each image is there where images are several times.
        seed: of the parts, and of the splits that intervals come from.
        out: folder for the table.
    """

    data: str
    count: int = 2000
    size: int | None = None
    features: str | None = None
    blur: float = 1.0
    quality: int = 20
    times: int = 4
    seed: int = 0
    out: Path = Path("runs/same-distribution")


@dataclass(frozen=True)
class Parts:
    """Sets of real images that share none, but for ``others``, which begins with ``half``."""

    real: ImageSet
    training: ImageSet
    half: ImageSet
    others: ImageSet


def main(settings: Settings) -> None:
    parts = parted(read(settings.data, "train", settings.size), settings)
    sets = {AS_IT_IS: parts.half, **disturbed(parts, settings)}
    asked = EvaluationSettings(
        parts.real, settings.features, training=parts.training, seed=settings.seed
    )
    found = dict(zip(sets, evaluate_all(list(sets.values()), asked), strict=True))
    for note in dict.fromkeys(note for one in found.values() for note in one.warnings):
        console.print(f"note: {note}")
    figures = {name: figures_of(one) for name, one in found.items()}
    rows = [row for name in figures for row in rows_of(name, figures)]
    show_table(COLUMNS, rows, settings.out, told(settings, found[AS_IT_IS]))
    write_json(settings.out / "results.json", {name: flat(name, figures) for name in figures})


def parted(images: ImageSet, settings: Settings) -> Parts:
    """Three parts of ``count`` images at random, and all that is neither real nor training.

    Raises UserError where there are fewer than four times as many.
    """
    count = settings.count
    if len(images) < 4 * count:
        raise UserError(
            f"{settings.data} holds {len(images):,} images; --count {count} needs {4 * count:,}."
        )
    order = torch.randperm(len(images), generator=torch_stream(settings.seed, "parts"))
    real, training, others = (images.take(some) for some in order.tensor_split([count, 2 * count]))
    return Parts(real, training, others.take(range(count)), others)


def disturbed(parts: Parts, settings: Settings) -> dict[str, ImageSet]:
    """What was done to the half, by the names of ``MOVES``; as many images each."""
    half, count = parts.half, len(parts.half)
    few = torch.arange(count) % max(1, count // settings.times)
    return {
        "blurred": replace(half, images=blurred(half.images, settings.blur)),
        "JPEG": replace(half, images=compressed(half.images, settings.quality)),
        "a part left out": some_of(parts.others, count),
        "each several times": half.take(few),
        "training images": parts.training,
    }


def blurred(images: Tensor, deviation: float) -> Tensor:
    """uint8 (N, C, H, W), blurred over three standard deviations on either side."""
    return gaussian_blur(images, [2 * round(3 * deviation) + 1] * 2, [deviation] * 2)


def compressed(images: Tensor, quality: int) -> Tensor:
    """uint8 (N, C, H, W), through JPEG and back."""
    again = decode_jpeg(encode_jpeg(list(images), quality))
    assert isinstance(again, list)
    return torch.stack(again)


def some_of(images: ImageSet, count: int) -> ImageSet:
    """``count`` images of the first half of the classes; where there are no classes, the darkest ones.

    Raises UserError where those classes have fewer.
    """
    if not images.class_names:
        brightness = images.images.float().mean((1, 2, 3))
        return images.take(brightness.argsort()[:count])
    kept = (images.labels[CLASS] < len(images.class_names) / 2).nonzero().flatten()
    if len(kept) < count:
        raise UserError(
            f"half the classes have {len(kept):,} images to draw from; --count {count} is too many."
        )
    return images.take(kept[:count])


def figures_of(found: Evaluation) -> dict[str, Figure]:
    """By the names of ``MEASURES``."""
    every, by = found.of_splits(), found.by.name
    keys = {
        DISTANCE: f"frechet.{by}.extrapolated",
        KERNEL: f"kernel.{by}",
        CLOSER: "copies.closer",
    }
    return {measure: every[keys.get(measure, measure)] for measure in MEASURES}


def rows_of(name: str, figures: dict[str, dict[str, Figure]]) -> list[list[str]]:
    """Of one set a row for each measure: its figure, what it should have done, and what it did."""
    rows = []
    for measure, figure in figures[name].items():
        if name == AS_IT_IS:
            change, did, should = "–", "–", f"{STILL[measure]:g}" if measure in STILL else "–"
            right = measure not in STILL or figure.low <= STILL[measure] <= figure.high
        else:
            moved = difference(figure, figures[AS_IT_IS][measure])
            change, did = numbers(moved), direction(moved)
            should = MOVES[name].get(measure, "–")
            right = should in ("–", did)
        verdict = "–" if should == "–" else "yes" if right else "NO"
        rows.append([name, measure, numbers(figure), change, should, did, verdict])
    return rows


def numbers(figure: Figure) -> str:
    return f"{figure.value:.3g} ({figure.low:.3g} to {figure.high:.3g})"


def direction(change: Figure) -> str:
    """Where to a measure has moved; nowhere, if the interval of its difference holds 0."""
    return UP if change.low > 0 else DOWN if change.high < 0 else "–"


def flat(name: str, figures: dict[str, dict[str, Figure]]) -> dict[str, float]:
    """``MEASURE``, and ``MEASURE.change`` from the half as it is, each with its interval."""
    written: dict[str, float] = {}
    for measure, figure in figures[name].items():
        change = difference(figure, figures[AS_IT_IS][measure])
        for key, each in ((measure, figure), (f"{measure}.change", change)):
            written |= {key: each.value, f"{key}.low": each.low, f"{key}.high": each.high}
    return written


def told(settings: Settings, found: Evaluation) -> str:
    """What the numbers of the table stand on."""
    return (
        f"{settings.count:,} images of {settings.data} in each set, {found.by.title}; blur of "
        f"{settings.blur:g} pixels, JPEG of quality {settings.quality}, {settings.times} times each, seed "
        f"{settings.seed}. Something has moved where the interval of its difference from the half as it is "
        "leaves out 0."
    )


if __name__ == "__main__":
    main(tyro.cli(Settings))
