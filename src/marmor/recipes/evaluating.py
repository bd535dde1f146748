"""Are generated images like the real ones? Every figure with an interval, and what must be known of it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated

import torch
from torch import Tensor
from tyro.conf import arg

from marmor import __version__
from marmor.base.cache import kept_json
from marmor.base.errors import UserError
from marmor.base.progress import progress_bar
from marmor.base.seeds import torch_stream
from marmor.data import ImageSet, labelled_by_names
from marmor.metrics import (
    LEAST,
    Figure,
    Neighbours,
    Share,
    check_detector,
    closer_share,
    figures,
    frechet_distances,
    kernel_distance,
    manifold,
    nearest,
)
from marmor.networks.checkpoints import fingerprint
from marmor.recipes.commands import options
from marmor.recipes.evaluation_sets import Images, Sets, gather, name_of
from marmor.recipes.face_shares import FaceShares, RealFaces, face_shares
from marmor.recipes.features import PHOTOGRAPHS, Instrument, features_of, instrument
from marmor.recipes.generators import EVERYWHERE
from marmor.recipes.models import LoadedJudge, find_judges, load_judge
from marmor.recipes.scoring import accuracy, check_judge, judge_images

NEIGHBOURS = 4
STATISTICS = "3"
"""Of how figures and intervals come out of features; another one makes the cache measure them anew."""
Source = Annotated[Images, arg(constructor=str)]
"""On the command line always a path or name."""


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
        seed: of what is drawn at random: which images, where one side has more, and the splits of intervals.
    """

    real: Source
    features: str | None = None
    judge: str | None = None
    training: Source | None = None
    faces: bool = False
    seed: int = 0

    @property
    def words(self) -> tuple[str, ...]:
        """As a person writes them behind the images; what was left out is left out."""
        told = {each.name: getattr(self, each.name) for each in fields(self)}
        return options(
            {name: value for name, value in told.items() if not isinstance(value, ImageSet)}
        )


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

    def of_splits(self) -> dict[str, Figure]:
        """All figures whose intervals come from splits of the samples."""
        return self.figures | ({"copies.closer": self.copies.closer} if self.copies else {})


def evaluate(generated: Images, settings: EvaluationSettings) -> Evaluation:
    """Everything that is measured of a folder, zip, npz or embedded set of generated images, or an ImageSet.

    Raises UserError for images that cannot be read, fewer than 32 on a side, and instruments that are not
    there.
    """
    return evaluate_all([generated], settings)[0]


def evaluate_all(generated: Sequence[Images], settings: EvaluationSettings) -> list[Evaluation]:
    """The same for several sets, at one size, by one instrument, with equally many images where they count.

    Raises UserError, before anything is measured, as ``evaluate`` does, for a set named twice, and where the
    sets would be measured by different instruments.
    """
    if settings.faces:
        check_detector()
    sets = _named(gather(generated, settings.real, settings.training), settings.judge)
    real_name = name_of(settings.real, "real images")
    for name, images in ((real_name, sets.real), *zip(sets.names, sets.drawn, strict=True)):
        _check_count(name, images)
    judges = [_judge_of(settings.judge, *each) for each in zip(sets.names, sets.drawn, strict=True)]
    by = _instrument(settings.features, sets)
    of_real = features_of(by, sets.real, real_name)
    of_drawn = [features_of(by, *each) for each in zip(sets.drawn, sets.names, strict=True)]
    bank = None
    if sets.training is not None:
        bank = features_of(by, sets.training, "training images")
    count = min(map(len, sets.drawn))
    found = []
    for name, drawn, mine, told, judge in zip(
        sets.names, sets.drawn, of_drawn, sets.warnings, judges, strict=True
    ):
        key = (
            drawn.unlabelled().fingerprint(),
            sets.real.unlabelled().fingerprint(),
            by.fingerprint,
        )
        one = Evaluation(
            name,
            drawn,
            sets.real,
            by,
            distances(key, by, mine, of_real, count, settings.seed, name),
            (*told, *_of_instrument(by, drawn, min(count, len(sets.real)))),
            agreement=_agreement(judge, drawn) if judge else None,
            words=settings.words,
        )
        if sets.training is not None and bank is not None:
            copies = _copies(key, sets.training, mine, of_real, bank, settings.seed)
            one = replace(one, copies=copies)
        found.append(one)
    return _with_faces(found, sets.real, real_name) if settings.faces else found


def _check_count(name: str, images: ImageSet) -> None:
    if len(images) < LEAST:
        raise UserError(
            f"{name} holds {_counted(len(images))}; intervals need {LEAST} on either side, "
            "and believable distances thousands."
        )


def _named(sets: Sets, judge: str | None) -> Sets:
    """Sets of one class alone get it from their file names, where a judge that knows it is named."""
    if judge is None:
        return sets
    known = load_judge(judge).class_names
    return replace(sets, drawn=tuple(labelled_by_names(drawn, known) for drawn in sets.drawn))


def _judge_of(said: str | None, name: str, drawn: ImageSet) -> LoadedJudge | None:
    """The judge that reads a set. Raises UserError where one is named and cannot."""
    if said is not None and not drawn.class_names:
        raise UserError(
            f"--judge {said} has nothing to check: the file names of {name} tell no classes; name the files "
            "<class>_<number>.png, or leave --judge out."
        )
    judge = find_judges(said, drawn.vocabulary).get(EVERYWHERE)
    if judge is not None:
        check_judge(judge, drawn.class_names, drawn.channels)
    return judge


def _instrument(said: str | None, sets: Sets) -> Instrument:
    """What was asked for, or what suits all sets."""
    shipped = [find_judges(None, drawn.vocabulary).get(EVERYWHERE) for drawn in sets.drawn]
    suits = {f"judge:{judge.origin}" if judge else PHOTOGRAPHS for judge in shipped}
    if said is None and len(suits) > 1:
        raise UserError(
            f"some of {', '.join(sets.names)} tell digits by their file names and others do not, so they "
            f"would be measured by different features ({', '.join(sorted(suits))}); name one with --features."
        )
    return instrument(said or suits.pop(), min(sets.real.size))


def _of_instrument(by: Instrument, drawn: ImageSet, fewer: int) -> tuple[str, ...]:
    """What the instrument does to images, and how many it needs."""
    told = []
    side = by.sees
    if side is not None and drawn.size != (side, side):
        told.append(
            f"{by.title} are taken of images resized from {drawn.size[1]}×{drawn.size[0]} to {side}×{side}."
        )
    if by.extractor.unpublished:
        told.append(by.extractor.unpublished)
    if fewer < by.extractor.dimension:
        told.append(
            f"{fewer:,} images are fewer than the {by.extractor.dimension:,} features: a plain Fréchet "
            "distance is then mostly bias, and extrapolating may not take all of it away; the kernel "
            "distance has none."
        )
    return tuple(told)


def distances(
    key: tuple[str, ...],
    by: Instrument,
    a: Tensor,
    b: Tensor,
    count: int,
    seed: int,
    title: str,
) -> dict[str, Figure]:
    """Figures of features a (N, D) of drawn and b (M, D) of real images; kept under ``key``.

    ``count``: of drawn images, where a figure depends on how many there are. ``title``: of the drawn ones,
    beside the bar.
    """
    kept = kept_json(
        ("figures", *_version(), *key, str(count), str(seed)),
        lambda: _distances(by, a, b, count, seed, title),
    )
    return {name: _figure(*values) for name, values in kept.items()}


def _distances(
    by: Instrument, a: Tensor, b: Tensor, count: int, seed: int, title: str
) -> dict[str, Figure]:
    def apart(a: Tensor, b: Tensor) -> tuple[float, ...]:
        return (*frechet_distances(a, b), kernel_distance(a, b))

    few = _some(a, count, seed, 0)
    with progress_bar(f"distances of {title}") as bar:
        plain, extrapolated, kernel = figures(apart, a, b, seed, bar)
    if count < len(a):
        with progress_bar(f"distance of {count:,} of {title}") as bar:
            plain = figures(apart, few, b, seed, bar)[0]
    fewest = min(count, len(b))
    even = _some(few, fewest, seed, 2), _some(b, fewest, seed, 1)
    with progress_bar(f"precision and recall of {title}") as bar:
        precision, recall, density, coverage = figures(manifold, *even, seed, bar)
    return {
        f"frechet.{by.name}": plain,
        f"frechet.{by.name}.extrapolated": extrapolated,
        f"kernel.{by.name}": kernel,
        "precision": _share(precision),
        "recall": _share(recall),
        "density": density,
        "coverage": _share(coverage),
    }


def _version() -> tuple[str, str]:
    return __version__, STATISTICS


def _figure(value: float, low: float, high: float, apart: Sequence[float]) -> Figure:
    return Figure(value, low, high, tuple(apart))


def _share(figure: Figure) -> Figure:
    """With an interval inside [0, 1]."""
    return figure._replace(low=max(0.0, figure.low), high=min(1.0, figure.high))


def _some(x: Tensor, count: int, seed: int, side: int) -> Tensor:
    return x[torch.randperm(len(x), generator=torch_stream(seed, "evaluation", side))[:count]]


def _copies(
    key: tuple[str, ...],
    training: ImageSet,
    of_drawn: Tensor,
    of_real: Tensor,
    bank: Tensor,
    seed: int,
) -> Copies:
    """Kept too, since neighbours among many training images take long."""
    of_training = training.unlabelled().fingerprint()
    parts = (*_version(), *key, of_training)
    without_drawn = (*_version(), *key[1:], of_training)

    def look(queries: Tensor, count: int) -> list[list[list[float]]]:
        return [part.tolist() for part in nearest(queries, bank, min(count, len(bank)))]

    found, held_out = (
        Neighbours(torch.tensor(kept[0], dtype=torch.float64), torch.tensor(kept[1]))
        for kept in (
            kept_json(("neighbours", *parts, "drawn"), lambda: look(of_drawn, NEIGHBOURS)),
            kept_json(("neighbours", *without_drawn), lambda: look(of_real, 1)),
        )
    )

    def closer(a: Tensor, b: Tensor) -> tuple[float]:
        return (closer_share(a[:, 0], b[:, 0]),)

    [share] = kept_json(
        ("copies", *parts, str(seed)),
        lambda: figures(closer, found.distances[:, :1], held_out.distances, seed),
    )
    return Copies(_share(_figure(*share)), training, found)


def _agreement(judge: LoadedJudge, drawn: ImageSet) -> Share:
    key = (
        "agreement",
        *_version(),
        drawn.fingerprint(),
        fingerprint(judge.judge),
        *judge.class_names,
    )
    kept = kept_json(key, lambda: accuracy(judge, drawn, judge_images(judge, drawn)).overall)
    return Share(*kept)


def _with_faces(found: list[Evaluation], real: ImageSet, name: str) -> list[Evaluation]:
    """Real images and noise are as many as the largest set has, the same for all."""
    which, count = RealFaces(real, f"images of {name}"), max(len(one.generated) for one in found)
    return [replace(one, faces=face_shares(one.generated.images, which, count)) for one in found]


def _counted(count: int) -> str:
    return f"{count} image" if count == 1 else f"{count} images"
