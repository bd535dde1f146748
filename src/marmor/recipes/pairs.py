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

    def labelled_val(self) -> ImageSet | None:
        """The target's held-out images with their classes, where these are known: for the table alone."""
        if self.truth.val is None:
            return None
        vocabulary = {"class": self.class_names}
        return replace(self.target_val, labels={"class": self.truth.val}, vocabulary=vocabulary)


def load_pair(source: str, target: str, size: int | None, seed: int) -> Pair:
    """Reads two sets and brings them together (``bring_together``), at ``size`` or the source's own side."""
    if size is not None and size < SMALLEST_SIDE:
        raise UserError(f"--size must be at least {SMALLEST_SIDE}, not {size}.")
    sources = _read(source, size)
    require_classes(sources["train"], who=f"the images of the source {source}")
    return bring_together(sources, _read(target, sources["train"].size[0]), seed, target)


def bring_together(sources: Splits, targets: Splits, seed: int, target: str = "the target") -> Pair:
    """Reconciles splits of one side; UserError where they cannot be brought together.

    Both have train, and val and test where there are any. Grey becomes colour where any is in colour. The
    target's classes are matched by name and may be fewer. A tenth of the training images is held out for the
    choice among checkpoints where there is no val split, and a fifth of the target's images for the table
    where there is no test split; neither draw sees labels. ``target`` names it in messages.
    """
    targets = {split: _in_one_order(images) for split, images in targets.items()}
    every = [("source", sources), ("target", targets)]
    notes = [
        f"{who}: {note}" for who, sets in every for each in sets.values() for note in each.notes
    ]
    notes = list(dict.fromkeys(notes))
    if len({images.channels for _, sets in every for images in sets.values()}) > 1:
        sources, targets = (
            {name: images.colour() for name, images in sets.items()} for sets in (sources, targets)
        )
        notes.append(
            "Grey images became colour ones of the same grey, as the others are in colour."
        )
    targets, told = _matched(targets, sources["train"].class_names, target)
    sources, targets, held = _held_out(sources, targets, seed)
    require_classes(sources["val"], at_least=1, who="held-out images of the source")
    truth, read_on = _truth(targets)
    return Pair(
        sources["train"],
        sources["val"],
        targets["train"].unlabelled(),
        targets["val"].unlabelled(),
        truth,
        tuple(notes + told + held + read_on),
    )


def _held_out(sources: Splits, targets: Splits, seed: int) -> tuple[Splits, Splits, list[str]]:
    """The same with val of both and test of the target, drawn where they are not, and what is to be told."""
    sources, targets, notes = dict(sources), dict(targets), []
    if "test" not in targets:
        targets["train"], targets["test"] = _parted(
            targets["train"], "target", TESTED, seed, "tested"
        )
        notes.append("target: no test split; a fifth of its images is held out for the table.")
    for who, sets in (("source", sources), ("target", targets)):
        if "val" not in sets:
            sets["train"], sets["val"] = _parted(sets["train"], who, HELD_OUT, seed, "held out")
            notes.append(f"{who}: no val split; a tenth of its training images is held out.")
    return sources, targets, notes


def _truth(targets: Splits) -> tuple[Truth, list[str]]:
    """What is known of the target, and what is to be told of it.

    Where the labels of the test images are kept from us, as in a course, the table reads the held-out ones.
    """
    known = {name: images if images.class_names else None for name, images in targets.items()}
    truth = Truth(known["train"], targets["val"].labels.get("class"), known["test"])
    if truth.test is not None or truth.val is None:
        return truth, []
    return replace(truth, test=known["val"]), [
        "target: its test images have no labels; the table reads the held-out ones, which the choice saw "
        "without labels."
    ]


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


def _in_one_order(images: ImageSet) -> ImageSet:
    """Images ordered by their pixels: file names and folders often follow the labels."""
    digests = [hashlib.blake2b(image.numpy().tobytes()).digest() for image in images.images]
    return images.take(sorted(range(len(images)), key=lambda place: digests[place]))


def _parted(
    images: ImageSet, who: str, fraction: float, seed: int, purpose: str
) -> tuple[ImageSet, ImageSet]:
    """(rest, part): the draw sees no labels, so that they cannot matter."""
    count = round(fraction * len(images))
    if not 0 < count < len(images):
        raise UserError(
            f"the images of the {who} are too few ({len(images)} are left) to hold {fraction:.0%} of them "
            "out; give at least 10."
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
