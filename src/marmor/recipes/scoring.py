"""Do the images show what was asked, and are they distributed like the real ones?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.pixels import to_unit
from marmor.data import ImageSet, read
from marmor.metrics import (
    Agreement,
    Mean,
    Share,
    agreement,
    frechet_distance,
    frechet_floor,
    gaussian,
)
from marmor.recipes.models import LoadedJudge

FLOOR_DRAWS = 100
"""One draw differs from the next by a quarter; the mean of so many, by a fortieth."""
READ_BATCH = 250


@dataclass(frozen=True)
class Reading:
    """What a judge makes of a set of images."""

    features: Tensor
    classes: Tensor


@dataclass(frozen=True)
class Distance:
    """Fréchet distance on judge features to real test images, and what real images get."""

    value: float
    floor: float
    count: int
    """Real training images in the floor."""


@torch.inference_mode()
def judge_images(judge: LoadedJudge, images: ImageSet) -> Reading:
    """Features (N, D) and classes read (N,), by the judge's own class indices."""
    prepared = judge.prepare(images).images
    features = torch.cat([judge.judge.features(to_unit(x)) for x in prepared.split(READ_BATCH)])
    return Reading(features, judge.judge.logits(features).argmax(1))


def check_judge(judge: LoadedJudge, class_names: Sequence[str], channels: int) -> None:
    """Raises UserError where a judge cannot read images: other classes, or grey against colour."""
    unknown = set(class_names) - set(judge.class_names)
    if unknown:
        raise UserError(
            f"the judge {judge.origin} does not know the classes {', '.join(sorted(unknown))}; "
            f"it knows {', '.join(judge.class_names)}. Train one with: marmor train judge --data …"
        )
    if judge.judge.channels < channels:
        raise UserError(
            f"the judge {judge.origin} reads grey images, and these are in colour; train one on "
            "colour images with: marmor train judge --data …"
        )


def accuracy(judge: LoadedJudge, images: ImageSet, reading: Reading) -> Agreement:
    """How often the judge reads the class that was asked for; classes are matched by name."""
    check_judge(judge, images.class_names, images.channels)
    index = torch.tensor([judge.class_names.index(name) for name in images.class_names])
    asked = index[images.labels["class"]]
    return agreement(asked, reading.classes, len(judge.class_names))


@dataclass(frozen=True)
class RealFeatures:
    """What a judge makes of real images: a data set's train and test splits."""

    train: Tensor
    test: Tensor

    def distance(self, reading: Reading) -> Distance:
        """The distance of the images read to the real test split, and the floor.

        The floor is the mean distance of equally many real training images (all, where there are
        fewer) to the same test images.
        """
        count = min(len(reading.features), len(self.train))
        value = frechet_distance(gaussian(reading.features), gaussian(self.test))
        floor = frechet_floor(self.train, self.test, count, FLOOR_DRAWS, seed=0)
        return Distance(value, floor, count)


def real_features(judge: LoadedJudge, real: str, size: int, crop: bool = False) -> RealFeatures:
    """Real images, brought to the side ``size`` of those they are compared with, as a judge sees them.

    They are resized, or, with ``crop``, cut to their centre. Raises UserError where ``real`` has no
    test split of its own.
    """
    sets = [
        read(real, split).cropped(size) if crop else read(real, split, size)
        for split in ("train", "test")
    ]
    if sets[0].fingerprint() == sets[1].fingerprint():
        raise UserError(
            f"{real} has no test split of its own, so nothing can be measured against it."
        )
    return RealFeatures(*(judge_images(judge, images).features for images in sets))


def figures_of(result: Agreement, class_names: Sequence[str]) -> dict[str, Any]:
    """Flat figures under dotted names."""
    overall = result.overall
    figures: dict[str, Any] = {
        **with_interval("judge.accuracy", overall),
        "judge.images": overall.count,
    }
    for name, part in zip(class_names, result.per_class, strict=True):
        if part.count:
            figures |= with_interval(f"judge.accuracy.{name}", part)
    return figures


def mean_accuracy(shares: Mapping[str, float], domains: Sequence[str]) -> dict[str, float]:
    """The mean over all domains as summary.json names it; {} where one has no share: no judge reads it."""
    if set(shares) != set(domains):
        return {}
    return {"judge.accuracy": sum(shares.values()) / len(shares)}


def with_interval(name: str, part: Share | Mean) -> dict[str, float]:
    """A figure and its 95 % interval as summary.json names them."""
    return {name: part.value, f"{name}.low": part.low, f"{name}.high": part.high}


def distance_figures(found: Distance) -> dict[str, Any]:
    return {
        "frechet.judge": found.value,
        "frechet.floor": found.floor,
        "frechet.ratio": found.value / found.floor,
        "frechet.floor.images": found.count,
    }


def percent(part: Share) -> str:
    """A share as people read it, with its 95 % interval."""
    return f"{100 * part.value:.1f} % ({100 * part.low:.1f} to {100 * part.high:.1f})"
