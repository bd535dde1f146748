"""The images of an evaluation: read, brought to one size and colour, and what must be known of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from marmor.base.errors import UserError
from marmor.data import ImageSet, MissingSplitError, MixedSizesError, read

HELD_OUT = ("test", "val")
ALIKE = {".jpeg": ".jpg", ".tif": ".tiff"}
"""Other spellings of file formats."""

Images = str | ImageSet
"""A set of images, or what `marmor` reads as one."""


@dataclass(frozen=True)
class Sets:
    """Sets of one size and number of channels.

    Args:
        names: of the generated sets, each another.
        drawn: the generated sets.
        real: the real images, held out where there is a choice.
        training: what the generators were trained on, less what is among the real ones; None where no such
            image is known.
        warnings: of each generated set, one sentence for each thing that must be known.
    """

    names: tuple[str, ...]
    drawn: tuple[ImageSet, ...]
    real: ImageSet
    training: ImageSet | None
    warnings: tuple[tuple[str, ...], ...]


def gather(generated: Sequence[Images], real: Images, training: Images | None) -> Sets:
    """Reads and matches: the side is the smallest of generated and real images.

    Raises UserError for what cannot be read, for a set named twice, and where no set has one size.
    """
    names = tuple(
        each if isinstance(each, str) else f"images {number}"
        for number, each in enumerate(generated, 1)
    )
    for name in names:
        if names.count(name) > 1:
            raise UserError(
                f"{name} is named twice; name each set of generated images once, differences to itself are 0."
            )
    specs = [*((each, ("train", *HELD_OUT)) for each in generated), (real, (*HELD_OUT, "train"))]
    taught = training or real
    first = [_read(spec, splits, None) for spec, splits in specs]
    sides = [min(images.size) for images in first if images is not None]
    if not sides:
        raise UserError(
            f"the images of {', '.join(names)} and of {name_of(real, 'real images')} differ in size among "
            "themselves; bring one of them to the size that you want to compare."
        )
    read_again = [
        _read(spec, splits, min(sides)) if images is None else images
        for images, (spec, splits) in zip(first, specs, strict=True)
    ]
    sets = [images for images in read_again if images is not None]
    known = _read_training(taught, min(sides), named=training is not None)
    # Those of the real images' own training split go by what they are: their path is that of the real ones.
    title = "training images" if training is None else name_of(training, "training images")
    return _matched(names, sets, known, min(sides), name_of(real, "real images"), title)


def name_of(images: Images, otherwise: str) -> str:
    """As people read it."""
    return images if isinstance(images, str) else otherwise


def _read(source: Images, splits: Sequence[str], size: int | None) -> ImageSet | None:
    """The first split that there is; None for images of several sizes, where no size is given."""
    if isinstance(source, ImageSet):
        return source if size is None else source.resized(size)
    for split in splits:
        try:
            found = read(source, split, size)
        except MissingSplitError:
            if split == splits[-1]:
                raise
        except MixedSizesError:
            return None
        else:
            return found if split in (splits[0], *HELD_OUT) else _stands_in(found)
    raise AssertionError("there is a last split")


def _stands_in(training: ImageSet) -> ImageSet:
    note = "It has no test or val split: its training images stand in for held-out ones."
    return replace(training, notes=(*training.notes, note))


def _read_training(source: Images, side: int, named: bool) -> ImageSet | None:
    """None where no training images are known."""
    try:
        found = _read(source, ("train",), None)
        return _read(source, ("train",), side) if found is None else found
    except MissingSplitError:
        if named:
            raise
        return None


def _matched(
    names: tuple[str, ...],
    sets: list[ImageSet],
    training: ImageSet | None,
    side: int,
    real: str,
    taught: str,
) -> Sets:
    every = [*sets, training] if training is not None else sets
    if len({images.size for images in every}) > 1:
        every = [images.resized(side) for images in every]
    channels = {images.channels for images in every}
    every = [images.colour() for images in every] if len(channels) > 1 else every
    *drawn, held_out = every[: len(sets)]
    known, said = None, ()
    if training is not None:
        known, said = _apart(every[-1], held_out)
        said = (*(f"{taught}: {note}" for note in every[-1].notes), *said)
    told = tuple(
        (
            *(f"{name}: {note}" for note in images.notes),
            *(f"{real}: {note}" for note in held_out.notes),
            *_colours(name, before, sets[-1]),
            *_formats(name, images, held_out),
            *said,
        )
        for name, images, before in zip(names, drawn, sets, strict=False)
    )
    return Sets(names, tuple(drawn), held_out, known, told)


def _apart(training: ImageSet, real: ImageSet) -> tuple[ImageSet | None, tuple[str, ...]]:
    """Training images that are no real ones, byte for byte; None where none is left."""
    kept = training.not_among(real)
    shared = len(training) - len(kept)
    if not kept:
        return None, ()
    if not shared:
        return training, ()
    sentence = (
        f"{shared:,} of {len(training):,} training images are among the real ones, byte for byte; copies "
        "were looked for without them."
    )
    return training.take(kept), (sentence,)


def _colours(name: str, drawn: ImageSet, real: ImageSet) -> Iterator[str]:
    if drawn.channels != real.channels:
        grey, colour = (
            (name, "the real images") if drawn.channels == 1 else ("the real images", name)
        )
        yield (
            f"{grey} are grey and {colour} in colour: grey was copied to red, green and blue, and distances "
            "see the difference."
        )


def _formats(name: str, drawn: ImageSet, real: ImageSet) -> Iterator[str]:
    sides = (name, "the real images")
    told = [", ".join(sorted(set(map(_format, images.names)))) for images in (drawn, real)]
    unknown = [which for which, formats in zip(sides, told, strict=True) if not formats]
    if unknown:
        yield (
            f"the file formats of {' and of '.join(unknown)} are not known: where one side was compressed "
            "and the other was not, distances see it."
        )
    elif told[0] != told[1]:
        yield (
            f"the files of {name} are {told[0]} and those of the real images {told[1]}: the traces that JPEG "
            "leaves are a difference too, and distances see it."
        )


def _format(name: str) -> str:
    suffix = PurePath(name).suffix.lower()
    return ALIKE.get(suffix, suffix) or "of no known format"
