"""Pictures with sentences, wherever they come from, and the classes that are kept out of them."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from marmor.base.errors import UserError, unknown_name
from marmor.base.progress import progress_bar
from marmor.base.seeds import derive, torch_stream
from marmor.data import (
    USUAL_SCENES,
    Captioned,
    ImageSet,
    SceneWishes,
    captioned,
    captioned_scenes,
    has_captions,
    read,
    read_captioned,
)
from marmor.data.scenes import EVERY_OBJECT, OBJECTS, SIDE, UNSEEN, make_scenes
from marmor.language import fill, read_templates, spoken
from marmor.recipes.naming import Names, read_names, truth_of
from marmor.recipes.training_images import facts_of

SCENES = "captioned-scenes"
"""The set that is rendered on the spot."""
LEAST_SIDE, SIDE_STEP = 16, 8
SCENE_TEMPLATES = ("a photo of a {}", "a picture of a {}", "a {} on a table")
"""Of what scenes are called in training, the plainest."""
EACH = 25
"""Pictures of each object kept out of scenes."""


@dataclass(frozen=True, kw_only=True)
class CaptionWishes:
    """Which pictures and sentences are learned from.

    Args:
        data: captioned-scenes, rendered on the spot; a folder with captions.json; or any images with classes,
            whose names go into templates.
        count: pictures to render, where they are.
        size: side of the pictures; their own when left out.
        labels: id2label.json, what the classes of images are called; their own names when left out.
        templates: openai, simple, plain or a text file: what images of a class are called.
        held_out_classes: how many classes are kept out, or their names with commas between them.
    """

    data: str = SCENES
    count: int = 20_000
    size: int | None = None
    labels: Path | None = None
    templates: str = "simple"
    held_out_classes: str = ""


@dataclass(frozen=True)
class HeldOut:
    """Pictures of what training never sees, the names to choose among, and the sentences to choose by.

    ``truth``: int64 (N,), places in ``names``.
    """

    images: ImageSet
    names: tuple[str, ...]
    truth: Tensor
    templates: tuple[str, ...]


class Pictures(NamedTuple):
    """What is learned from, and what is kept out of it, if anything is."""

    seen: Captioned
    held_out: HeldOut | None


def load_pictures(wishes: CaptionWishes, seed: int, scenes: SceneWishes = USUAL_SCENES) -> Pictures:
    """Reads or renders; which classes are held out follows from the seed where only their number is given.

    ``scenes``: what those show that are rendered here. Raises UserError for images without classes or
    captions, classes that are not there, sides that cannot be cut into patches, and whatever readers refuse.
    """
    if wishes.data == SCENES:
        _without_classes(wishes, "scenes have captions")
        pictures = _rendered(wishes, seed, scenes)
    elif has_captions(Path(wishes.data)):
        _without_classes(wishes, f"{wishes.data} has captions")
        pictures = Pictures(read_captioned(Path(wishes.data), wishes.size), None)
    else:
        pictures = _of_classes(wishes, seed)
    height, width = pictures.seen.images.size
    if height != width or height < LEAST_SIDE or height % SIDE_STEP:
        raise UserError(
            f"the pictures are {width}×{height}; networks here take squares whose side is a multiple of "
            f"{SIDE_STEP} from {LEAST_SIDE} on: name one with --size."
        )
    return pictures


def sentences_of(data: Captioned, chosen: Tensor, stream: torch.Generator) -> Tensor:
    """One of the sentences of each chosen picture (B,), and its contrary where there are any.

    Places in ``data.sentences``, int64 (B, 1) or (B, 2).
    """
    which = torch.randint(data.captions.shape[1], (len(chosen), 1), generator=stream)
    rows = (data.captions,) if data.contraries is None else (data.captions, data.contraries)
    return torch.cat([row[chosen].gather(1, which) for row in rows], 1)


def plain(settings: Any) -> dict[str, Any]:
    """The wishes of a recipe as JSON, with absolute paths; the run's own place is where its folder lies."""
    told = asdict(settings)
    del told["run"]
    if Path(settings.data).exists():
        told["data"] = str(Path(settings.data).resolve())
    return {k: str(v.resolve()) if isinstance(v, Path) else v for k, v in told.items()}


def facts_of_captioned(data: Captioned) -> dict[str, Any]:
    """What config.json keeps of what a run learns from; sentences are part of its fingerprint."""
    facts = facts_of(data.images)
    numbers = [data.captions, data.meanings, data.truths]
    numbers += [each for each in (data.contraries, data.unasked) if each is not None]
    said = [list(data.sentences), *(each.tolist() for each in numbers)]
    return {**facts, "fingerprint": f"{facts['fingerprint']}-{derive(0, repr(said)):016x}"}


def _rendered(wishes: CaptionWishes, seed: int, scenes: SceneWishes) -> Pictures:
    side = SIDE if wishes.size is None else wishes.size
    with progress_bar("rendering") as bar:
        seen = captioned_scenes(wishes.count, seed, side, bar, scenes)
    places = torch.tensor([OBJECTS.index(name) for name in UNSEEN]).repeat_interleave(EACH)
    alone = [[EVERY_OBJECT.index(OBJECTS[place])] for place in places.tolist()]
    images = ImageSet(make_scenes(alone, derive(seed, "held out"), side))
    return Pictures(seen, HeldOut(images, OBJECTS, places, SCENE_TEMPLATES))


def _of_classes(wishes: CaptionWishes, seed: int) -> Pictures:
    images = read(wishes.data, "train", wishes.size).colour()
    if not images.class_names:
        raise UserError(
            f"{wishes.data} says neither by captions.json nor by classes what its pictures show; give class "
            "sub-folders, <class>_<n>.png names, or captions."
        )
    names = _names(wishes, images)
    truth = truth_of(images, names, None)
    assert truth is not None
    held = _held_out(wishes.held_out_classes, names, seed)
    out = torch.isin(truth, torch.tensor(held, dtype=torch.int64))
    rest = (~out).nonzero().flatten()
    if not len(rest) or len(names) - len(held) < 2:
        raise UserError(
            "--held-out-classes leaves fewer than two classes to learn; hold out fewer."
        )
    templates = read_templates(wishes.templates)
    sentences = [[fill(t, spoken(name)) for t in templates] for name in names.names]
    shown = truth[rest].tolist()
    seen = captioned(images.take(rest).unlabelled(), [sentences[k] for k in shown], shown)
    if not held:
        return Pictures(seen, None)
    places = torch.tensor([held.index(k) if k in held else -1 for k in range(len(names))])
    kept = tuple(names.names[k] for k in held)
    unseen = images.take(out.nonzero().flatten())
    return Pictures(seen, HeldOut(unseen, kept, places[truth[out]], templates))


def _names(wishes: CaptionWishes, images: ImageSet) -> Names:
    if wishes.labels is not None:
        return read_names(wishes.labels)
    return Names(tuple(map(str, range(len(images.class_names)))), images.class_names)


def _held_out(asked: str, names: Names, seed: int) -> list[int]:
    """Places of the classes that are kept out, in order."""
    if not asked:
        return []
    if asked.isdecimal():
        order = torch.randperm(len(names), generator=torch_stream(seed, "held-out classes"))
        return sorted(order[: int(asked)].tolist())
    places = {spoken(name).casefold(): k for k, name in enumerate(names.names)}
    wanted = [spoken(name).casefold() for name in asked.split(",")]
    for name in wanted:
        if name not in places:
            raise unknown_name("class", name, places)
    return sorted({places[name] for name in wanted})


def _without_classes(wishes: CaptionWishes, why: str) -> None:
    if wishes.held_out_classes or wishes.labels is not None:
        raise UserError(f"{why} and no classes; leave --labels and --held-out-classes out.")
