"""How like its photos and its prompt what was drawn is (S8): `marmor personalize score`, computed.

The course's rule: the image score is 100 × the mean cosine of a picture and the concept's photos, the text
score the CLIP's logit of the picture and its prompt in plain words; the five of a prompt's pictures with the
largest image + 2.5 × text are its best, and their means are held against the baseline.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.files import check_folder
from marmor.language import Facts
from marmor.metrics import Mean, Share, mean_within, photo_leak, share
from marmor.recipes.commands import options
from marmor.recipes.concept_lists import read_entries
from marmor.recipes.object_judging import load_object_judge
from marmor.recipes.personal_judging import BEST, USUAL, Judging, PromptScores
from marmor.recipes.text_image import ModelWishes, TextImage

FIGURES = ("image", "text", "leak")
"""What every picture has a number of."""
SEVERAL = ("one concept", "several together")


@dataclass(frozen=True, kw_only=True)
class PersonalScoreSettings(ModelWishes):
    """How what was drawn is judged.

    Args:
        input: the course's input.json, with prompt_4_clip_eval.
        photos: where the concepts' photos lie, as <src_image>/ or <id>/; beside input.json when left out.
        judge: a judge of scenes, a run or pretrained:scene-judge, for entries that say objects.
        out: folder for the table, images.csv, prompts.csv, summary.json, pictures and report.html.
    """

    input: Path
    photos: Path | None = None
    judge: str | None = None
    out: Path = Path("personal-scores")


@dataclass(frozen=True)
class Group:
    """The figures of a method over its prompts of one concept, or of several together.

    Intervals are over pictures, with the prompts as they are. What cannot be told is None.
    """

    name: str
    images: int
    image: Mean
    text: Mean
    leak: Mean | None
    told_apart: Share | None
    present: Share | None
    swapped: Share | None


@dataclass(frozen=True)
class Method:
    """One folder of pictures."""

    name: str
    folder: Path
    prompts: tuple[PromptScores, ...]

    def groups(self) -> list[Group]:
        """The figures, for one concept and for several; those that it has."""
        halves = [
            [each for each in self.prompts if (len(each.entry.words) > 1) == several]
            for several in (False, True)
        ]
        return [_group(name, some) for name, some in zip(SEVERAL, halves, strict=True) if some]


@dataclass(frozen=True)
class PersonalScores:
    """What was found.

    Args:
        settings: what was asked.
        facts: what is known of the CLIP.
        methods: in the order asked for.
        photo_leaks: what the photos themselves leak, by the ids of entries of several concepts.
        notes: what must be known, one sentence each.
    """

    settings: PersonalScoreSettings
    facts: Facts
    methods: tuple[Method, ...]
    photo_leaks: Mapping[str, float]
    notes: tuple[str, ...]

    @property
    def command(self) -> tuple[str, ...]:
        """The words that do the same again."""
        folders = (f"{method.name}={method.folder}" for method in self.methods)
        return ("marmor", "personalize", "score", *folders, *options(asdict(self.settings)))


def score(folders: Sequence[str], settings: PersonalScoreSettings) -> PersonalScores:
    """Reads and judges the pictures of ``folders``, DIR or NAME=DIR; nothing is written but the cache.

    Raises UserError for lists, photos, pictures, models and judges that cannot be read or do not fit, and
    an --out that can be no folder.
    """
    check_folder(settings.out)
    named = _named(folders)
    entries = read_entries(settings.input)
    for entry in entries:
        if not entry.plain:
            raise UserError(
                f"{settings.input}, entry {entry.id!r} has no prompt_4_clip_eval, by which pictures are "
                "judged."
            )
    judge = None if settings.judge is None else load_object_judge(settings.judge)
    root = settings.input.parent if settings.photos is None else settings.photos
    judging = Judging(TextImage(settings), judge, entries, root)
    methods = [Method(name, folder, judging.folder(folder)) for name, folder in named.items()]
    several = [entry for entry in entries if len(entry.words) > 1]
    floors = {entry.id: photo_leak(judging.photos_of(entry)) for entry in several}
    notes = _notes(methods)
    if judge is not None and not any(entry.objects for entry in entries):
        notes = (
            *notes,
            f"No entry of {settings.input} says objects, so the judge {settings.judge} was asked nothing.",
        )
    if judging.cut:
        notes = (*notes, f"{judging.cut} prompts are longer than the CLIP reads and were cut.")
    return PersonalScores(settings, judging.model.facts, tuple(methods), floors, notes)


def differences(first: Method, other: Method, group: str) -> dict[str, Mean]:
    """How far another method is from the first, picture by picture, which began with the same noise.

    By figure: image, text, leak. {} where they did not draw the same pictures.
    """
    pairs = [_of_group(method, group) for method in (first, other)]
    files = [[(p.entry.folder(p.number), p.images.names) for p in prompts] for prompts in pairs]
    if files[0] != files[1] or not files[0]:
        return {}
    values = [_values(prompts) for prompts in pairs]
    return {
        name: mean_within(
            [(b - a).tolist() for a, b in zip(values[0][name], values[1][name], strict=True)]
        )
        for name in FIGURES
        if name in values[0] and name in values[1]
    }


def _named(folders: Sequence[str]) -> dict[str, Path]:
    """Folders by the names that tables give them."""
    found: dict[str, Path] = {}
    for text in folders:
        name, equals, path = text.partition("=")
        folder = Path(path if equals else text)
        name = name if equals else folder.resolve().name
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder; name one that `marmor generate` wrote.")
        if not name or "/" in name or name in found:
            raise UserError(
                f"two folders would be called {name!r} in the table; name them: one=DIR other=DIR."
                if name in found
                else f"{text!r} should be DIR or NAME=DIR."
            )
        found[name] = folder
    if not found:
        raise UserError("name a folder of pictures that `marmor generate` wrote.")
    return found


def _of_group(method: Method, group: str) -> list[PromptScores]:
    several = group == SEVERAL[1]
    return [each for each in method.prompts if (len(each.entry.words) > 1) == several]


def _values(prompts: Sequence[PromptScores]) -> dict[str, list[Tensor]]:
    """FIGURES of the pictures of each prompt, (N,); without what is not known of all of them."""
    found = {name: [getattr(each, name) for each in prompts] for name in FIGURES}
    return {
        name: [value for value in values if value is not None]
        for name, values in found.items()
        if all(value is not None for value in values)
    }


def _group(name: str, prompts: Sequence[PromptScores]) -> Group:
    values = {
        key: mean_within([part.tolist() for part in parts])
        for key, parts in _values(prompts).items()
    }
    return Group(
        name,
        sum(len(each.images) for each in prompts),
        values["image"],
        values["text"],
        values.get("leak"),
        _share([each.told_apart for each in prompts]),
        _share([each.present for each in prompts]),
        _share([each.swapped for each in prompts]),
    )


def _share(hits: Sequence[Tensor | None]) -> Share | None:
    known = [each for each in hits if each is not None]
    if len(known) < len(hits):
        return None
    every = torch.cat(known)
    return share(int(every.sum()), len(every))


def _notes(methods: Sequence[Method]) -> tuple[str, ...]:
    found: list[str] = []
    for method in methods:
        counts = sorted({len(each.images) for each in method.prompts})
        if counts != [USUAL]:
            told = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
            found.append(
                f"{method.name} has {told} pictures a prompt; the course's rule is the best {BEST} of "
                f"{USUAL}."
            )
        if any(len(each.entry.words) > 1 and each.leaks is None for each in method.prompts):
            found.append(
                f"{method.name} has no maps of attention for all pictures of several concepts, so what leaks "
                "between them is not known; draw with --attention for each word."
            )
    return tuple(found)
