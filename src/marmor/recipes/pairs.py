"""Two sets of images brought together: a labelled source and a target without labels (S5)."""

import hashlib
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.seeds import torch_stream
from marmor.data import ImageSet, MissingSplitError, MixedSizesError, read, require_classes

HELD_OUT = 0.1
"""Of the training images, for the choice among checkpoints, where a set has no val split."""
TESTED = 0.2
"""Of the target's images, where it has no test split."""
SMALLEST_SIDE, LARGEST_SIDE = 12, 64
DEFAULT_SIDE = 32
"""Side of larger images, and of those whose sizes differ."""

Splits = dict[str, ImageSet]


@dataclass(frozen=True)
class Truth:
    """What is known of the target besides its images; adaptation never reads it.

    ``train``: the images of the pair's ``target`` with labels, for the upper bound; ``val``: classes (N,)
    of its ``target_val``; ``test``: labelled images for the table. None where there are no labels.
    """

    train: ImageSet | None
    val: Tensor | None
    test: ImageSet | None


@dataclass(frozen=True)
class Pair:
    """Source and target in one size, one number of channels and one order of classes.

    ``source`` and ``source_val`` are labelled; ``target`` and ``target_val`` are not, and hold no file
    names. ``notes`` say what was done.
    """

    source: ImageSet
    source_val: ImageSet
    target: ImageSet
    target_val: ImageSet
    truth: Truth
    notes: tuple[str, ...]

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.source.class_names


def load_pair(source: str, target: str, size: int | None, seed: int) -> Pair:
    """Reads and reconciles; UserError where the two cannot be brought together.

    The side is ``size``, or the source's own; grey becomes colour where one of them is in colour. The
    target's classes are matched by name and may be fewer. A tenth of the training images is held
    out for the choice among checkpoints where there is no val split, and a fifth of the target's images
    for the table where there is no test split; neither draw sees labels.
    """
    if size is not None and size < SMALLEST_SIDE:
        raise UserError(f"--size must be at least {SMALLEST_SIDE}, not {size}.")
    sources = _read(source, size)
    require_classes(sources["train"])
    side = sources["train"].size[0]
    targets = _in_one_order(_read(target, side))
    notes = [f"source: {note}" for note in sources["train"].notes]
    notes += [f"target: {note}" for note in targets["train"].notes]
    if sources["train"].channels != targets["train"].channels:
        sources, targets = (
            {name: images.colour() for name, images in sets.items()} for sets in (sources, targets)
        )
        notes.append(
            "Grey images became colour ones of the same grey, as the others are in colour."
        )
    names = sources["train"].class_names
    targets, told = _matched(targets, names, target)
    notes += told
    if "test" not in targets:
        targets["train"], targets["test"] = _parted(
            targets["train"], "target", TESTED, seed, "tested"
        )
        notes.append("target: no test split; a fifth of its images is held out for the table.")
    for who, sets in (("source", sources), ("target", targets)):
        if "val" not in sets:
            sets["train"], sets["val"] = _parted(sets["train"], who, HELD_OUT, seed, "held out")
            notes.append(f"{who}: no val split; a tenth of its training images is held out.")
    require_classes(sources["val"], at_least=1)
    known = {name: images if images.class_names else None for name, images in targets.items()}
    return Pair(
        sources["train"],
        sources["val"],
        targets["train"].unlabelled(),
        targets["val"].unlabelled(),
        Truth(known["train"], targets["val"].labels.get("class"), known["test"]),
        tuple(notes),
    )


def _read(spec: str, size: int | None) -> Splits:
    """The splits that a set has of its own: train, and val and test where they are other images."""
    try:
        train = read(spec, "train", size)
    except MixedSizesError:
        train = read(spec, "train", DEFAULT_SIDE)
    side = size or max(min(train.size), SMALLEST_SIDE)
    train = train.resized(DEFAULT_SIDE if size is None and side > LARGEST_SIDE else side)
    found = {"train": train}
    for split in ("val", "test"):
        try:
            other = read(spec, split, train.size[0])
        except MissingSplitError:
            continue
        # A set without splits serves every split with all its images.
        if other.unlabelled().fingerprint() != train.unlabelled().fingerprint():
            found[split] = other
    return found


def _in_one_order(sets: Splits) -> Splits:
    """Training images ordered by their pixels: file names and folders often follow the labels."""
    train = sets["train"]
    digests = [hashlib.blake2b(image.numpy().tobytes()).digest() for image in train.images]
    order = sorted(range(len(train)), key=lambda place: digests[place])
    return {**sets, "train": train.take(order)}


def _parted(
    images: ImageSet, who: str, fraction: float, seed: int, purpose: str
) -> tuple[ImageSet, ImageSet]:
    """(rest, part): the draw sees no labels, so that they cannot matter."""
    count = round(fraction * len(images))
    if not 0 < count < len(images):
        raise UserError(
            f"the images of the {who} are too few ({len(images)}) to hold {fraction:.0%} of them out; give "
            "at least 10."
        )
    order = torch.randperm(len(images), generator=torch_stream(seed, purpose))
    return images.take(order[count:].sort().values), images.take(order[:count].sort().values)


def _matched(sets: Splits, names: tuple[str, ...], spec: str) -> tuple[Splits, list[str]]:
    """The target's splits with the source's class names in their order, and what is to be told.

    Where no class is the source's, what looked like labels were file names; where only some are not,
    UserError.
    """
    labelled = {split: images for split, images in sets.items() if images.class_names}
    shown = {split: _shown(images) for split, images in labelled.items()}
    every = dict.fromkeys(name for found in shown.values() for name in found)
    unknown = [name for name in every if name not in names]
    if every and len(unknown) == len(every):
        bare = {split: images.unlabelled() for split, images in sets.items()}
        return bare, [
            f"target: {', '.join(unknown[:3])} … are no classes of the source: unlabelled."
        ]
    if unknown:
        raise UserError(
            f"{spec} shows the classes {', '.join(unknown)}, which the source does not have "
            f"({', '.join(names)}); name the same thing alike in both, or leave those images out."
        )
    missing = [name for name in names if "train" in shown and name not in shown["train"]]
    told = (
        [f"target: no image of {', '.join(missing)}; methods that expect all classes may err."]
        if missing
        else []
    )
    return {**sets, **{split: _renamed(part, names) for split, part in labelled.items()}}, told


def _shown(images: ImageSet) -> list[str]:
    """Names of the classes that images show."""
    return [images.class_names[k] for k in images.labels["class"].unique().tolist()]


def _renamed(images: ImageSet, names: tuple[str, ...]) -> ImageSet:
    places = torch.tensor([names.index(n) if n in names else -1 for n in images.class_names])
    return replace(
        images, labels={"class": places[images.labels["class"]]}, vocabulary={"class": names}
    )
