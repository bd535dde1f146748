"""Pictures with sentences: rendered scenes, a folder with captions.json, classes and templates."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.files import read_json
from marmor.data.imageset import ImageSet
from marmor.data.readers import read
from marmor.data.scenes.captions import FILE, draw_captioned
from marmor.data.scenes.making import make_scenes
from marmor.data.scenes.reading import SHOWS


@dataclass(frozen=True, eq=False)
class Captioned:
    """N pictures, each with C sentences.

    Args:
        images: the pictures.
        sentences: every sentence once.
        captions: int64 (N, C), places in ``sentences``; of fewer than C sentences some come again.
        meanings: int64 (N,); pictures with the same number are named by the same sentences as truly.
    """

    images: ImageSet
    sentences: tuple[str, ...]
    captions: Tensor
    meanings: Tensor

    def __len__(self) -> int:
        return len(self.images)


def captioned(
    images: ImageSet, captions: Sequence[Sequence[str]], meanings: Sequence[Hashable]
) -> Captioned:
    """Of each picture its sentences, at least one, and what they mean; equal meanings are equal keys."""
    most = max(map(len, captions))
    sentences = tuple(dict.fromkeys(sentence for each in captions for sentence in each))
    places = {sentence: place for place, sentence in enumerate(sentences)}
    rows = [[places[each[k % len(each)]] for k in range(most)] for each in captions]
    known = {key: number for number, key in enumerate(dict.fromkeys(meanings))}
    numbers = torch.tensor([known[key] for key in meanings])
    return Captioned(images, sentences, torch.tensor(rows), numbers)


def captioned_scenes(
    count: int,
    seed: int,
    side: int,
    watch: Callable[[float], None] = lambda share: None,
    partly: float = 0.0,
) -> Captioned:
    """Scenes rendered on the spot; UserError for fewer than one, and where they would be too small.

    ``partly``: of the objects in sentences, how many are called by their shape or their colour alone.
    """
    lists, captions = draw_captioned(count, seed, partly)
    scenes = list(lists.pictures.values())
    pictures = make_scenes(scenes, seed, side, watch=watch)
    images = ImageSet(pictures, names=tuple(lists.pictures))
    return captioned(images, list(captions.values()), [frozenset(scene) for scene in scenes])


def has_captions(folder: Path) -> bool:
    """Whether a folder has captions beside its pictures."""
    return (folder / FILE).is_file()


def read_captioned(folder: Path, size: int | None) -> Captioned:
    """A folder of pictures and captions.json.

    Pictures mean the same where they show the same objects, if objects.json and train.json say it as i-CLEVR
    does, else where their captions are the same. Raises UserError for pictures without captions, captions
    that are none, and whatever ``read`` refuses.
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
