"""Class names: their order, their numbers, and how many a set must have."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

import torch
from torch import Tensor

from marmor.base.errors import UserError
from marmor.data.imageset import CLASS, ImageSet

DIGITS = tuple("0123456789")
"""The classes of every set of digits."""

_INTEGER = re.compile(r"-?[0-9]+")
_DIGITS = re.compile(r"([0-9]+)")
_NUMBERED = re.compile(r"(?P<label>.+)_[0-9]+")


def class_in_name(name: str) -> str | None:
    """The class in the name of a file ``<class>_<n>.png``; None for other names."""
    match = _NUMBERED.fullmatch(PurePosixPath(name).stem)
    return match["label"] if match else None


def labelled_by_names(images: ImageSet, class_names: Sequence[str]) -> ImageSet:
    """Images labelled by files ``<class>_<n>.png`` that all name one of ``class_names``; others as they are.

    For images that a reader left without labels because one class alone, as in IMG_0001, is none by itself:
    where it is known which classes there are, it is one.
    """
    said = [class_in_name(name) for name in images.names]
    if images.labels or not said or not all(name in class_names for name in said):
        return images
    labels = class_indices([str(name) for name in said], class_names, "a file name")
    return replace(images, labels={CLASS: labels}, vocabulary={CLASS: tuple(class_names)})


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key under which ``img2`` comes before ``img10``."""
    parts = _DIGITS.split(name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def class_order(labels: Iterable[str]) -> tuple[str, ...]:
    """The distinct labels: numerically when all are integers, else alphabetically."""
    distinct = set(labels)
    if all(_INTEGER.fullmatch(label) for label in distinct):
        return tuple(sorted(distinct, key=lambda label: (int(label), label)))
    return tuple(sorted(distinct))


def class_indices(labels: Sequence[str], class_names: Sequence[str], where: str) -> Tensor:
    """Labels as int64 (N,) positions in ``class_names``; UserError for a label not among them."""
    position = {name: index for index, name in enumerate(class_names)}
    unknown = next((label for label in labels if label not in position), None)
    if unknown is not None:
        raise UserError(
            f"{where} has the label {unknown!r}, which is not among its class names "
            f"{', '.join(class_names)}; correct the label or the list of names."
        )
    return torch.tensor([position[label] for label in labels], dtype=torch.int64)


def require_classes(images: ImageSet, at_least: int = 2, who: str = "the images") -> None:
    """UserError, about ``who``, unless ``images`` is labelled and shows ``at_least`` different classes."""
    if images.labels and not images.class_names:
        raise UserError(
            f"{who} are labelled with {', '.join(images.labels)}, not with one class each, and this "
            "needs classes; give other images."
        )
    if not images.class_names:
        raise UserError(
            f"{who} have no labels, and this needs them; give class sub-folders, "
            "a train.csv, <class>_<n>.png names or an .npz with labels."
        )
    present = images.labels[CLASS].unique().tolist()
    if len(present) < at_least:
        found = ", ".join(repr(images.class_names[index]) for index in present) or "none"
        raise UserError(
            f"{who} show {len(present)} class(es) only ({found}), and this needs at least "
            f"{at_least}; give images of more classes."
        )
