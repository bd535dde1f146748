"""Are generated images like the real ones? Every figure with an interval, and what must be known of it."""

from dataclasses import asdict, dataclass, replace
from pathlib import PurePath

import torch
from torch import Tensor

from marmor import __version__
from marmor.base.cache import kept_json
from marmor.base.errors import UserError
from marmor.base.seeds import torch_stream
from marmor.data import ImageSet, MissingSplitError, MixedSizesError, read
from marmor.metrics import (
    LEAST,
    Figure,
    Neighbours,
    Share,
    closer_share,
    figures,
    frechet_distances,
    kernel_distance,
    manifold,
    nearest,
)
from marmor.recipes.commands import options
from marmor.recipes.face_shares import FaceShares, RealFaces, face_shares
from marmor.recipes.features import PHOTOGRAPHS, Instrument, features_of, instrument
from marmor.recipes.generators import EVERYWHERE
from marmor.recipes.models import find_judges
from marmor.recipes.scoring import accuracy, judge_images

NEIGHBOURS = 4


@dataclass(frozen=True)
class EvaluationSettings:
    """How sets of images are held against real ones.

    Args:
        real: the real images: held-out ones, where the data have a test split.
        features: what measures distances: efficientnet-lite0, inception:FILE (then, and only then, the
            distance is FID), judge:RUN, or pixels; the judge that ships for digits, else efficientnet-lite0,
            when left out.
        judge: reads the class that a file name says; the one that ships for digits when left out.
        training: the images that the generator was trained on, to look for copies; the training split of the
            real ones, where they have splits, when left out.
        faces: also count faces (dlib's HOG detector); pip install 'marmor[faces]'.
        seed: of what is drawn at random: which images, where one side has more, and the groups of intervals.
    """

    real: str
    features: str | None = None
    judge: str | None = None
    training: str | None = None
    faces: bool = False
    seed: int = 0

    @property
    def words(self) -> tuple[str, ...]:
        """As a person writes them behind the images; what was left out is left out."""
        return options(asdict(self))


@dataclass(frozen=True)
class Copies:
    """Where samples lie among training images, in the features that measure.

    ``closer``: the share of samples closer to a training image than held-out real ones are, over all pairs:
    0.5 for as far, 1 for copies. ``neighbours``: of each sample the nearest of ``training``.
    """

    closer: Figure
    training: ImageSet
    neighbours: Neighbours


@dataclass(frozen=True)
class Evaluation:
    """What is known of one set of generated images.

    Args:
        name: the images as a person named them.
        generated: the images.
        real: what they were held against.
        by: what measured distances.
        figures: by the dotted names of summary.json.
        warnings: what must be known of the figures, one sentence each.
        copies: None where no training images are known.
        faces: None where nobody asked for them.
        agreement: how often the class of the file's name is read; None without classes or a judge.
        words: of the command that measures it again.
    """

    name: str
    generated: ImageSet
    real: ImageSet
    by: Instrument
    figures: dict[str, Figure]
    warnings: tuple[str, ...]
    copies: Copies | None = None
    faces: FaceShares | None = None
    agreement: Share | None = None
    words: tuple[str, ...] = ()


def evaluate(generated: str, settings: EvaluationSettings) -> Evaluation:
    """Everything that is measured of a folder, zip, npz or embedded set of generated images.

    Raises UserError for images that cannot be read, fewer than 20 on a side, and instruments that are not
    there.
    """
    drawn, real = read_pair(generated, settings.real)
    for name, images in ((generated, drawn), (settings.real, real)):
        if len(images) < LEAST:
            raise UserError(
                f"{name} holds {_counted(len(images))}; intervals need {LEAST} on either side, "
                "and believable distances thousands."
            )
    side = min(drawn.size)
    judge = find_judges(settings.judge, drawn.vocabulary).get(EVERYWHERE)
    shipped = find_judges(None, drawn.vocabulary).get(EVERYWHERE)
    by = instrument(
        settings.features or (f"judge:{shipped.origin}" if shipped else PHOTOGRAPHS), side
    )
    features = features_of(by, drawn, generated), features_of(by, real, settings.real)
    found = Evaluation(
        generated,
        drawn,
        real,
        by,
        distances(by, drawn, real, *features, settings.seed),
        (*warnings(generated, drawn), *warnings(settings.real, real), *_mismatches(drawn, real)),
        _copies(settings, by, drawn, real, *features),
        words=settings.words,
    )
    fewer = min(len(drawn), len(real))
    if fewer < by.extractor.dimension:
        found = _warned(
            found,
            f"{fewer:,} images are fewer than the {by.extractor.dimension:,} features: a plain Fréchet "
            "distance is then mostly bias, and extrapolating may not take all of it away; the kernel "
            "distance has none.",
        )
    if judge is not None:
        agreement = accuracy(judge, drawn, judge_images(judge, drawn)).overall
        found = replace(found, agreement=agreement)
    if settings.faces:
        which = RealFaces(real, f"images of {settings.real}")
        found = replace(found, faces=face_shares(drawn.images, which))
    return found


def distances(
    by: Instrument, drawn: ImageSet, real: ImageSet, a: Tensor, b: Tensor, seed: int
) -> dict[str, Figure]:
    """Figures of features a (N, D) of drawn and b (M, D) of real images; kept, since they take long."""
    key = (
        "figures",
        __version__,
        drawn.fingerprint(),
        real.fingerprint(),
        by.fingerprint,
        str(seed),
    )
    kept = kept_json(key, lambda: _distances(by, a, b, seed))
    return {
        name: Figure(value, low, high, tuple(without))
        for name, (value, low, high, without) in kept.items()
    }


def _distances(by: Instrument, a: Tensor, b: Tensor, seed: int) -> dict[str, Figure]:
    def apart(a: Tensor, b: Tensor) -> tuple[float, ...]:
        return (*frechet_distances(a, b), kernel_distance(a, b))

    plain, extrapolated, kernel = figures(apart, a, b, seed)
    # These four depend on how many there are, so they are taken of equally many.
    count = min(len(a), len(b))
    few, other = (_some(x, count, seed, side) for side, x in enumerate((a, b)))
    precision, recall, density, coverage = figures(manifold, few, other, seed)
    return {
        f"frechet.{by.name}": plain,
        f"frechet.{by.name}.extrapolated": extrapolated,
        f"kernel.{by.name}": kernel,
        "precision": _share(precision),
        "recall": _share(recall),
        "density": density,
        "coverage": _share(coverage),
    }


def _share(figure: Figure) -> Figure:
    """With an interval inside [0, 1]."""
    return figure._replace(low=max(0.0, figure.low), high=min(1.0, figure.high))


def _some(x: Tensor, count: int, seed: int, side: int) -> Tensor:
    return x[torch.randperm(len(x), generator=torch_stream(seed, "evaluation", side))[:count]]


def _copies(
    settings: EvaluationSettings,
    by: Instrument,
    drawn: ImageSet,
    real: ImageSet,
    of_drawn: Tensor,
    of_real: Tensor,
) -> Copies | None:
    """None where no training images are known, or where they are the real ones themselves."""
    side = min(drawn.size)
    try:
        training = read(settings.training or settings.real, "train", side)
    except MissingSplitError:
        if settings.training is not None:
            raise
        return None
    if training.unlabelled().fingerprint() == real.unlabelled().fingerprint():
        return None
    bank = features_of(by, training, "training images")
    found = nearest(of_drawn, bank, min(NEIGHBOURS, len(bank)))
    held_out = nearest(of_real, bank).distances

    def closer(a: Tensor, b: Tensor) -> tuple[float]:
        return (closer_share(a[:, 0], b[:, 0]),)

    [share] = figures(closer, found.distances[:, :1], held_out, seed=settings.seed)
    return Copies(_share(share), training, found)


def read_pair(generated: str, real: str) -> tuple[ImageSet, ImageSet]:
    """Both sets, of the real ones the test split, at one size: the smaller one. Notes say what was done.

    Raises UserError where neither set has one size.
    """
    sets = [_read(generated, "train", None), _read(real, "test", None)]
    sides = [min(images.size) for images in sets if images is not None]
    if not sides:
        raise UserError(
            f"the images of {generated} and of {real} differ in size among themselves; bring one of them to "
            "the size that you want to compare."
        )
    side = min(sides)
    again = [
        images or _read(spec, split, side)
        for images, spec, split in zip(sets, (generated, real), ("train", "test"), strict=True)
    ]
    first, second = (images for images in again if images is not None)
    if first.size != second.size:
        first, second = first.resized(side), second.resized(side)
    return first, second


def _read(spec: str, split: str, size: int | None) -> ImageSet | None:
    """None for images of several sizes, where no size is given."""
    try:
        return read(spec, split, size)
    except MixedSizesError:
        return None
    except MissingSplitError:
        return read(spec, "train", size)


def warnings(name: str, images: ImageSet) -> tuple[str, ...]:
    """What reading did to the images."""
    return tuple(f"{name}: {note}" for note in images.notes)


def _mismatches(drawn: ImageSet, real: ImageSet) -> tuple[str, ...]:
    formats = [{PurePath(name).suffix.lower() for name in images.names} for images in (drawn, real)]
    if not all(formats) or formats[0] == formats[1]:
        return ()
    told = [", ".join(sorted(suffixes)) for suffixes in formats]
    return (
        f"the generated files are {told[0]} and the real ones {told[1]}: the traces that JPEG leaves are "
        "a difference too, and distances see it.",
    )


def _warned(found: Evaluation, sentence: str) -> Evaluation:
    return replace(found, warnings=(*found.warnings, sentence))


def _counted(count: int) -> str:
    return f"{count} image" if count == 1 else f"{count} images"
