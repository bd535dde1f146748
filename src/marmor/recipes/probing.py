"""What a little training adds to words: linear probes on embeddings, on all labels and on a few a class."""

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from marmor.base.cores import on_cores
from marmor.base.errors import UserError
from marmor.base.files import check_folder
from marmor.base.progress import progress_bar
from marmor.base.seeds import torch_stream
from marmor.data import ImageSet, require_classes
from marmor.language import Facts, ensemble, read_templates
from marmor.metrics import Mean, Share, mean, share
from marmor.recipes.commands import options
from marmor.recipes.naming import FROM_NAMES, Names, read_names, truth_of
from marmor.recipes.text_image import ModelWishes, TextImage

GRID = tuple(10.0**power for power in range(-1, 6))
"""Inverse strengths of regularisation that are tried, the strongest first."""

HELD_OUT = 0.2
CHOSEN_ON = 4
"""Images of a class that choose the regularisation of few-shot probes, or as many as they learn from."""

ROUNDS = 1000


@dataclass(frozen=True, kw_only=True)
class ProbeSettings(ModelWishes):
    """How probes are trained and judged.

    Args:
        images: labelled images that judge; of data with splits the test split.
        train: labelled images to learn from; the training split of the others when left out.
        labels: id2label.json, the names of the classes; adds what words alone give.
        templates: of these words: openai, simple, plain, or a file of lines with {} for the class.
        shots: images of a class that few-shot probes learn from.
        seeds: how often few-shot images are drawn.
        seed: of all that is drawn.
        out: folder for the table, summary.json, the picture and report.html.
    """

    images: str
    train: str | None = None
    labels: Path | None = None
    templates: str = "openai"
    shots: tuple[int, ...] = (1, 2, 4, 8, 16)
    seeds: int = 5
    seed: int = 0
    out: Path = Path("probe")

    def __post_init__(self) -> None:
        if not self.shots or min(self.shots) < 1 or self.seeds < 2:
            raise UserError("--shots must be at least 1 and --seeds at least 2, for an interval.")

    @property
    def command(self) -> tuple[str, ...]:
        """The words that do the same again."""
        templates = self.templates if self.labels else None
        return ("marmor", "probe", *options(asdict(self) | {"templates": templates}))


@dataclass(frozen=True)
class Labelled:
    """Embeddings (N, D) of length 1 and the classes that they show, int64 (N,)."""

    embeddings: Tensor
    classes: Tensor

    def take(self, indices: Tensor) -> "Labelled":
        return Labelled(self.embeddings[indices], self.classes[indices])


@dataclass(frozen=True)
class Probed:
    """What probes reach.

    Args:
        settings: what was asked.
        facts: what is known of the model.
        names: the classes.
        counts: images that were learned from and that judged.
        words: what words alone give; None where nobody named the classes.
        few: by images a class, over the seeds.
        linear: of the probe that learned from all.
        strength: its inverse regularisation.
        notes: what must be known, one sentence each.
    """

    settings: ProbeSettings
    facts: Facts
    names: Names
    counts: tuple[int, int]
    words: Share | None
    few: dict[int, Mean]
    linear: Share
    strength: float
    notes: tuple[str, ...]


def probe(settings: ProbeSettings) -> Probed:
    """Embeds, trains and judges; nothing is written but the cache.

    Raises UserError for images without labels or without two splits, for classes that are in one of them only
    by name, too few images of a class, and an --out that can be no folder.
    """
    check_folder(settings.out)
    templates = read_templates(settings.templates)
    model = TextImage(settings)
    test = model.read(settings.images, "test")
    train = model.read(settings.train or settings.images, "train")
    if train.unlabelled().fingerprint() == test.unlabelled().fingerprint():
        raise UserError(
            f"{settings.images} has no test split of its own; name images to learn from with --train."
        )
    require_classes(train)
    names = Names(train.class_names, train.class_names)
    if settings.labels is not None:
        names = read_names(settings.labels)
    learn = _labelled(model, train, names, settings.train or settings.images)
    judge = _labelled(model, test, names, settings.images)
    _require(learn, names)
    words = None
    if settings.labels is not None:
        directions = ensemble(model.embed_prompts(templates, names.names))
        words = _hits(judge, (judge.embeddings @ directions.T).argmax(1))
    parts = apart(learn, HELD_OUT, settings.seed)
    strength = choose(*parts)
    few, skipped = _few(settings, learn, judge)
    notes = (*dict.fromkeys((*train.notes, *test.notes)), *skipped)
    if strength in (GRID[0], GRID[-1]):
        notes += (f"The regularisation chosen, C = {strength:g}, is the last one tried.",)
    return Probed(
        settings,
        model.facts,
        names,
        (len(train), len(test)),
        words,
        few,
        _hits(judge, fit(learn, strength, judge.embeddings)),
        strength,
        notes,
    )


def fit(learn: Labelled, strength: float, embeddings: Tensor) -> Tensor:
    """Multinomial logistic regression on ``learn``; the classes that it reads in embeddings (M, D)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    line = LogisticRegression(C=strength, max_iter=ROUNDS)
    with warnings.catch_warnings():
        # After so many rounds the answers no longer change, whatever the gradient says.
        warnings.simplefilter("ignore", ConvergenceWarning)
        line.fit(learn.embeddings.numpy(), learn.classes.numpy())
    return torch.from_numpy(np.asarray(line.predict(embeddings.numpy())))


def choose(learn: Labelled, held: Labelled) -> float:
    """The inverse regularisation that does best on held-out images; of equals the strongest."""

    def right(strength: float) -> float:
        return _hits(held, fit(learn, strength, held.embeddings)).value

    found = on_cores(right, GRID)
    return GRID[found.index(max(found))]


def apart(every: Labelled, fraction: float, seed: int) -> tuple[Labelled, Labelled]:
    """(rest, held): of every class the fraction is held out, one at least."""
    drawn = _drawn(every, seed, "held")
    held = [members[: max(1, round(fraction * len(members)))] for members in drawn]
    rest = [members[len(taken) :] for members, taken in zip(drawn, held, strict=True)]
    return every.take(torch.cat(rest)), every.take(torch.cat(held))


def shots(every: Labelled, count: int, seed: int) -> tuple[Labelled, Labelled]:
    """``count`` images of every class to learn from, and others, up to four, that choose."""
    drawn = _drawn(every, seed, "shots", count)
    end = count + min(count, CHOSEN_ON)
    learn = torch.cat([members[:count] for members in drawn])
    return every.take(learn), every.take(torch.cat([members[count:end] for members in drawn]))


def _few(
    settings: ProbeSettings, learn: Labelled, judge: Labelled
) -> tuple[dict[int, Mean], tuple[str, ...]]:
    """By images a class the mean over the seeds, and a sentence for each count that cannot be had."""
    least = int(learn.classes.bincount()[learn.classes.unique()].min())
    found, skipped = {}, []
    with progress_bar("few-shot probes") as bar:
        for done, count in enumerate(settings.shots):
            if count + min(count, CHOSEN_ON) > least:
                skipped.append(
                    f"{count} a class were left out: the smallest class has {least} images."
                )
                continue
            found[count] = mean(_over_seeds(settings, learn, judge, count))
            bar((done + 1) / len(settings.shots))
    return found, tuple(skipped)


def _over_seeds(
    settings: ProbeSettings, learn: Labelled, judge: Labelled, count: int
) -> Sequence[float]:
    values = []
    for number in range(settings.seeds):
        some, held = shots(learn, count, settings.seed + number)
        read = fit(some, choose(some, held), judge.embeddings)
        values.append(_hits(judge, read).value)
    return values


def _labelled(model: TextImage, images: ImageSet, names: Names, title: str) -> Labelled:
    truth = truth_of(images, names, FROM_NAMES)
    assert truth is not None  # from-names gives a truth or an error
    return Labelled(model.embed_images(images, title), truth)


def _require(learn: Labelled, names: Names) -> None:
    counts = learn.classes.bincount(minlength=len(names)).tolist()
    poor = next((k for k, count in enumerate(counts) if count == 1), None)
    if poor is not None:
        raise UserError(
            f"there is one image of {names.names[poor]} to learn from; each class needs 2, one to learn from "
            "and one to choose by."
        )


def _drawn(every: Labelled, seed: int, *purpose: str | int) -> list[Tensor]:
    """The places of each class's images that there are, in an order drawn by the seed."""
    stream = torch_stream(seed, "probe", *purpose)
    members = [(every.classes == k).nonzero().flatten() for k in every.classes.unique().tolist()]
    return [places[torch.randperm(len(places), generator=stream)] for places in members]


def _hits(judge: Labelled, read: Tensor) -> Share:
    return share(int((read == judge.classes).sum()), len(read))
