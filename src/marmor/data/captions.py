"""Pictures with sentences: rendered scenes, a folder with captions.json, classes and templates."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.files import read_json
from marmor.data.imageset import ImageSet
from marmor.data.readers import read
from marmor.data.scenes.calls import all_calls, unasked_calls
from marmor.data.scenes.captions import (
    FILE,
    USUAL_SCENES,
    SceneWishes,
    draw_captioned,
    draw_contraries,
)
from marmor.data.scenes.making import make_scenes
from marmor.data.scenes.reading import SHOWS


@dataclass(frozen=True, eq=False)
class Captioned:
    """N pictures, each with C sentences.

    Args:
        images: the pictures.
        sentences: every sentence once.
        captions: int64 (N, C), places in ``sentences``; of fewer than C sentences some come again.
        meanings: int64 (sentences,); sentences with the same number say the same.
        truths: int64 (N, M), the meanings that are true of each picture; of fewer than M some come again.
        contraries: int64 (N, C), beside each caption a sentence much like it that says something else; None
            where there are none.
        unasked: int64 (N, U), meanings that are false of each picture and not to be refused; of fewer than U
            some come again, and -1 stands where there are none. None where all that is false is refused.
    """

    images: ImageSet
    sentences: tuple[str, ...]
    captions: Tensor
    meanings: Tensor
    truths: Tensor
    contraries: Tensor | None = None
    unasked: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)


def alike(truths: Tensor, meanings: Tensor) -> Tensor:
    """Which sentence is true of which picture, bool (B, S).

    ``truths`` int64 (B, M) and ``meanings`` int64 (S,) are rows of those of a ``Captioned``.
    """
    return (truths[:, None] == meanings[:, None]).any(-1)


def captioned(
    images: ImageSet, captions: Sequence[Sequence[str]], shown: Sequence[Hashable]
) -> Captioned:
    """Pictures with their sentences, at least one each.

    ``shown`` are keys of what pictures show: a sentence of one picture is true of all with its key.
    """
    used: dict[str, dict[Hashable, None]] = {}
    for own, key in zip(captions, shown, strict=True):
        for sentence in own:
            used.setdefault(sentence, {})[key] = None
    # Sentences of the same keys say the same, which keeps the truths of a picture few.
    meanings = {sentence: frozenset(keys) for sentence, keys in used.items()}
    true: dict[Hashable, dict[Hashable, None]] = {}
    for sentence, keys in used.items():
        for key in keys:
            true.setdefault(key, {})[meanings[sentence]] = None
    return _numbered(images, captions, meanings, [list(true[key]) for key in shown])


def captioned_scenes(
    count: int,
    seed: int,
    side: int,
    watch: Callable[[float], None] = lambda share: None,
    wishes: SceneWishes = USUAL_SCENES,
) -> Captioned:
    """Scenes rendered on the spot; UserError for fewer than one, and where they would be too small.

    A sentence is true of every picture whose objects can be called so, all of them.
    """
    lists, captions = draw_captioned(count, seed, wishes)
    false = draw_contraries(captions, seed) if wishes.contrasted else {}
    scenes = list(lists.pictures.values())
    names = [[lists.objects[k] for k in scene] for scene in scenes]
    pictures = make_scenes(scenes, seed, side, watch=watch)
    return _numbered(
        ImageSet(pictures, names=tuple(lists.pictures)),
        [[each.sentence for each in own] for own in captions.values()],
        {
            each.sentence: each.calls
            for own in (*captions.values(), *false.values())
            for each in own
        },
        list(map(all_calls, names)),
        [[each.sentence for each in own] for own in false.values()],
        list(map(unasked_calls, names)) if wishes.contrasted else (),
    )


def _numbered(
    images: ImageSet,
    captions: Sequence[Sequence[str]],
    meanings: Mapping[str, Hashable],
    truths: Sequence[Sequence[Hashable]],
    contraries: Sequence[Sequence[str]] = (),
    unasked: Sequence[Sequence[Hashable]] = (),
) -> Captioned:
    """``meanings`` of every sentence, in the order in which sentences are first met, and of each picture."""
    places = {sentence: place for place, sentence in enumerate(meanings)}
    known: dict[Hashable, int] = {}
    said = [known.setdefault(meaning, len(known)) for meaning in meanings.values()]
    true, not_asked = (
        [[known.setdefault(meaning, len(known)) for meaning in own] for own in rows]
        for rows in (truths, unasked)
    )

    def placed(rows: Sequence[Sequence[str]]) -> Tensor:
        return _filled([[places[sentence] for sentence in own] for own in rows])

    return Captioned(
        images,
        tuple(meanings),
        placed(captions),
        torch.tensor(said),
        _filled(true),
        placed(contraries) if contraries else None,
        _filled([own or [-1] for own in not_asked]) if not_asked else None,
    )


def _filled(rows: Sequence[Sequence[int]]) -> Tensor:
    """int64 (rows, the longest row's length); shorter rows begin again."""
    most = max(map(len, rows))
    return torch.tensor([[row[k % len(row)] for k in range(most)] for row in rows])


def has_captions(folder: Path) -> bool:
    """Whether a folder has captions beside its pictures."""
    return (folder / FILE).is_file()


def read_captioned(folder: Path, size: int | None) -> Captioned:
    """A folder of pictures and captions.json.

    A sentence is true of all pictures that show the same objects, if objects.json and train.json say it as
    i-CLEVR does, else of those whose captions are the same. Raises UserError for pictures without
    captions, captions that are none, and whatever ``read`` refuses.
    """
    images = read(str(folder), "train", size).colour()
    captions = _captions(folder / FILE, images.names)
    if SHOWS in images.labels:
        keys: list[Hashable] = [tuple(row) for row in images.labels[SHOWS].tolist()]
    else:
        keys = [frozenset(each) for each in captions]
    return captioned(replace(images, labels={}, vocabulary={}), captions, keys)


def _captions(path: Path, names: Sequence[str]) -> list[list[str]]:
    """Of each picture its sentences; of pictures in folders the last part of the name counts too."""
    found = read_json(path)
    if not isinstance(found, dict):
        raise UserError(f'{path} must give captions by picture, as {{"a.png": ["a red cube"], …}}.')
    rows: list[Any] = [found.get(name, found.get(Path(name).name)) for name in names]
    for name, row in zip(names, rows, strict=True):
        if not _are_sentences(row):
            raise UserError(f'{path} has no captions of {name}; give them as ["a red cube", …].')
    return rows


def _are_sentences(row: Any) -> bool:
    return isinstance(row, list) and bool(row) and all(isinstance(s, str) and s for s in row)
