"""What classes are called: id2label.json, and which class each picture truly shows."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from marmor.base.errors import UserError, unknown_name
from marmor.base.files import read_csv, read_json
from marmor.data import CLASS, ImageSet, class_in_name
from marmor.language import spoken

FROM_NAMES = "from-names"
HEADER = ["image_name", "label"]


@dataclass(frozen=True)
class Names:
    """Class k is ``ids[k]`` to programs and ``names[k]`` to people."""

    ids: tuple[str, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def find(self, words: tuple[str, ...], where: str) -> Tensor:
        """The class of each word, int64; all words are ids, or all are names, whatever their case and blanks.

        Raises UserError for a word that is neither.
        """
        for known in (self.ids, tuple(map(_plain, self.names))):
            places = {word: index for index, word in enumerate(known)}
            plain = [word if known is self.ids else _plain(word) for word in words]
            if all(word in places for word in plain):
                return torch.tensor([places[word] for word in plain], dtype=torch.int64)
        names = set(map(_plain, self.names))
        odd = next((w for w in words if w not in self.ids and _plain(w) not in names), None)
        if odd is None:
            raise UserError(f"{where} names some classes by number and some by word; use one way.")
        advice = "; add it to these names, or correct it"
        raise unknown_name(f"class in {where}", odd, self.names, advice)


def read_names(path: Path) -> Names:
    """The classes of an id2label.json: ``{"0": "cat", "1": "dog"}`` or ``["cat", "dog"]``.

    Raises UserError where it is neither, has holes, or names a class twice.
    """
    content = read_json(path)
    if isinstance(content, list):
        content = dict(zip(map(str, range(len(content))), content, strict=True))
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and name.strip() for name in content.values()
    ):
        raise UserError(f'{path} should map numbers to names, as {{"0": "cat", "1": "dog"}}.')
    if len(content) < 2:
        raise UserError(f"{path} names {len(content)} class(es); a choice needs two.")
    ids = tuple(map(str, range(len(content))))
    hole = next((number for number in ids if number not in content), None)
    if hole is not None:
        raise UserError(
            f"{path} names {len(content)} classes but none is number {hole}; count from 0 without holes."
        )
    names = tuple(content[number].strip() for number in ids)
    seen: dict[str, str] = {}
    for number, name in zip(ids, names, strict=True):
        if (first := seen.setdefault(_plain(name), number)) != number:
            raise UserError(
                f"{path} calls both {first} and {number} {name!r}; each needs its own name."
            )
    return Names(ids, names)


def truth_of(images: ImageSet, names: Names, truth: str | None) -> Tensor | None:
    """The class that each picture shows, int64 (N,); None where nobody says so.

    ``truth``: ``from-names`` for what folders or file names say, or a CSV with the header image_name,label;
    what the images themselves say, if anything, when left out. Raises UserError where that cannot be had.
    """
    if truth is not None and truth != FROM_NAMES:
        return names.find(_listed(Path(truth), images), truth)
    if CLASS not in images.labels:
        if truth is None:
            return None
        said = [class_in_name(name) for name in images.names]
        if said and all(said):  # of one class alone, which by itself tells nothing
            return names.find(tuple(map(str, said)), "the file names")
        raise UserError(
            "the file names tell no classes: expected <class>_<n>.png or a folder for each class; "
            "name a CSV with --truth, or leave it out."
        )
    shown = images.labels[CLASS].tolist()
    # Only of classes that pictures show: a list of classes may be longer than that of names.
    present = sorted(set(shown))
    found = names.find(tuple(images.class_names[k] for k in present), "the images")
    return found[torch.tensor([present.index(k) for k in shown])]


def file_names(images: ImageSet) -> tuple[str, ...]:
    """The names of the files; numbers where there are none."""
    return images.names or tuple(f"{number:06d}" for number in range(len(images)))


def listing(path: Path, labelled: bool) -> list[list[str]]:
    """The lines of a CSV image_name,label, without blanks around cells and without its header.

    UserError for another header; more may follow label, which may be missing unless ``labelled``.
    """
    rows = [[cell.strip() for cell in row] for row in read_csv(path) if row]
    headers = [HEADER] if labelled else [HEADER, HEADER[:1]]
    if not rows or rows[0][:2] not in headers:
        raise UserError(f"{path} should begin with the header image_name,label; correct it.")
    return rows[1:]


def _listed(path: Path, images: ImageSet) -> tuple[str, ...]:
    """The label that a CSV gives to each picture, found by its path or by its last part."""
    labels = {row[0]: row[1] for row in listing(path, labelled=True) if len(row) > 1}
    found = []
    for name in file_names(images):
        label = labels.get(name, labels.get(Path(name).name))
        if label is None:
            raise UserError(f"{path} has no line for {name}; add one for each image.")
        found.append(label)
    return tuple(found)


def _plain(name: str) -> str:
    return spoken(name).casefold()
