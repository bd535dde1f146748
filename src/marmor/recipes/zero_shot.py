"""Pictures told apart by words alone: `marmor zero-shot`, computed."""

from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.files import check_folder
from marmor.base.seeds import numpy_stream
from marmor.data import ImageSet
from marmor.language import LISTS, Facts, ensemble, logits, read_templates
from marmor.metrics import (
    Agreement,
    Calibration,
    Share,
    agreement,
    calibration,
    ranks,
    share,
    share_difference,
)
from marmor.recipes.commands import options
from marmor.recipes.naming import Names, read_names, truth_of
from marmor.recipes.text_image import ModelWishes, TextImage

FEW = 5
"""Classes of the wider score, and cases shown of either kind."""


@dataclass(frozen=True, kw_only=True)
class ZeroShotSettings(ModelWishes):
    """How pictures are told apart by words alone.

    Args:
        images: a folder or zip of images, or any data; of data with splits the test split.
        labels: id2label.json, the names of the classes.
        templates: openai (80 sentences), simple (7), plain (1), or a file of lines with {} for the class.
        truth: from-names, or a CSV image_name,label; what the images say, if anything, when left out.
        compare_templates: also what single templates and other lists give.
        explain: also explain.html: how the answers came about.
        seed: which cases are shown.
        out: folder for predictions.csv, summary.json, pictures and report.html.
    """

    images: str
    labels: Path
    templates: str = "openai"
    truth: str | None = None
    compare_templates: bool = False
    explain: bool = False
    seed: int = 0
    out: Path = Path("zero-shot")

    @property
    def command(self) -> tuple[str, ...]:
        """The words that do the same again."""
        return ("marmor", "zero-shot", *options(asdict(self)))


@dataclass(frozen=True)
class Scores:
    """How often the answers are right, where the truth is known.

    ``truth``: int64 (N,); ``ranks``: the place of the true class, int64 (N,) from 1. ``top5`` is None for
    five classes or fewer, of which it would say nothing.
    """

    truth: Tensor
    ranks: Tensor
    top1: Share
    top5: Share | None
    agreement: Agreement
    calibration: Calibration


@dataclass(frozen=True)
class Compared:
    """What other sentences give on the same pictures; ``difference``: top-1 less that of the chosen list."""

    name: str
    count: int
    top1: Share
    difference: Share


@dataclass(frozen=True)
class ZeroShot:
    """Pictures told apart by words alone.

    Args:
        settings: what was asked.
        facts: what is known of the model.
        images: the pictures.
        names: the classes.
        templates: the sentences that were averaged.
        directions: of the classes, float32 (K, D) of length 1.
        cosines: of pictures and classes, float32 (N, K).
        probabilities: the softmax of scale · cosine, float32 (N, K).
        scores: None where no truth is known.
        compared: the chosen list first; empty where nobody asked.
        notes: what must be known, one sentence each.
    """

    settings: ZeroShotSettings
    facts: Facts
    images: ImageSet
    names: Names
    templates: tuple[str, ...]
    directions: Tensor
    cosines: Tensor
    probabilities: Tensor
    scores: Scores | None
    compared: tuple[Compared, ...]
    notes: tuple[str, ...]

    @property
    def read(self) -> Tensor:
        """The class read in each picture, int64 (N,)."""
        return self.probabilities.argmax(1)

    def few(self, index: int) -> list[tuple[int, float]]:
        """The likeliest classes of a picture with their probabilities, at most five."""
        values, places = self.probabilities[index].topk(min(FEW, len(self.names)))
        return list(zip(places.tolist(), values.tolist(), strict=True))

    def cases(self) -> dict[str, list[int]]:
        """Pictures to show, by the seed: right and wrong ones, or any where no truth is known."""
        order = numpy_stream(self.settings.seed, "cases").permutation(len(self.images)).tolist()
        if self.scores is None:
            return {"any": order[:FEW]}
        right = (self.scores.ranks == 1).tolist()
        return {
            "right": [i for i in order if right[i]][:FEW],
            "wrong": [i for i in order if not right[i]][:FEW],
        }


def zero_shot(settings: ZeroShotSettings) -> ZeroShot:
    """Reads, embeds and compares; nothing is written but the cache.

    Raises UserError for models, images, names, templates and truths that cannot be had or do not fit, and
    an --out that can be no folder.
    """
    check_folder(settings.out)
    names, templates = read_names(settings.labels), read_templates(settings.templates)
    model = TextImage(settings)
    images = model.read(settings.images, "test")
    truth = truth_of(images, names, settings.truth)
    if settings.compare_templates and truth is None:
        raise UserError(
            f"nothing says what the pictures of {settings.images} show, by which --compare-templates would "
            "judge; name a CSV with --truth, or leave --compare-templates out."
        )
    every = _wanted(settings, templates)
    sentences = model.embed_prompts(every, names.names)
    pictures = model.embed_images(images, settings.images)
    facts = model.facts
    directions = _direction(sentences, every, templates)
    scaled = logits(facts, pictures, directions)
    return ZeroShot(
        settings,
        facts,
        images,
        names,
        templates,
        directions,
        pictures @ directions.T,
        scaled.softmax(1),
        None if truth is None else scores_of(scaled, truth),
        _compared(settings, every, sentences, pictures, templates, truth),
        (*images.notes, *_cut(model, templates, names)),
    )


def scores_of(scaled: Tensor, truth: Tensor) -> Scores:
    """From logits (N, K) and the truth (N,)."""
    classes = scaled.shape[1]
    places = ranks(scaled, truth)
    confidence, read = scaled.softmax(1).max(1)
    return Scores(
        truth,
        places,
        share(int((places == 1).sum()), len(places)),
        share(int((places <= FEW).sum()), len(places)) if classes > FEW else None,
        agreement(truth, read, classes),
        calibration(confidence.clamp(max=1), places == 1),
    )


def _wanted(settings: ZeroShotSettings, templates: tuple[str, ...]) -> tuple[str, ...]:
    """The chosen templates, and those to compare them with, each once."""
    others = [t for each in LISTS.values() for t in each] if settings.compare_templates else []
    return tuple(dict.fromkeys((*templates, *others)))


def _direction(sentences: Tensor, every: tuple[str, ...], some: tuple[str, ...]) -> Tensor:
    """The ensemble (K, D) of some of the templates whose sentences (T, K, D) are known."""
    return ensemble(sentences[[every.index(template) for template in some]])


def _compared(
    settings: ZeroShotSettings,
    every: tuple[str, ...],
    sentences: Tensor,
    pictures: Tensor,
    templates: tuple[str, ...],
    truth: Tensor | None,
) -> tuple[Compared, ...]:
    """The chosen list, the others, then single templates, the best first; () without truth or wish."""
    if truth is None or not settings.compare_templates:
        return ()
    chosen = settings.templates
    lists = {chosen: templates} | {n: e for n, e in LISTS.items() if set(e) != set(templates)}

    def hits(some: tuple[str, ...]) -> Tensor:
        return (pictures @ _direction(sentences, every, some).T).argmax(1) == truth

    base = hits(templates)

    def compared(name: str, some: tuple[str, ...]) -> Compared:
        found = hits(some)
        top1 = share(int(found.sum()), len(found))
        return Compared(name, len(some), top1, share_difference(found, base))

    ensembles = [compared(name, some) for name, some in lists.items()]
    single = [compared(one, (one,)) for one in every]
    return (*ensembles, *sorted(single, key=lambda each: -each.top1.value))


def _cut(model: TextImage, templates: tuple[str, ...], names: Names) -> tuple[str, ...]:
    count = model.cut(templates, names.names)
    if not count:
        return ()
    return (f"{count} sentences are longer than {model.facts.context} tokens and were cut.",)
