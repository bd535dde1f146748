"""What a model is asked for: one record an image."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from marmor.base.errors import UserError, unknown_name
from marmor.data import CLASS, DOMAIN
from marmor.recipes.generators import Generator

UNNAMED = "image"
"""What images are called that were drawn by a model without classes."""


@dataclass(frozen=True)
class Ask:
    """One image to draw.

    Args:
        group: what is asked for; images of one group are drawn together, and apart from all others.
        number: which image of its group it is, from 1.
        said: what it should show, by condition, as the labels of one image: () int64 or (K,) bool.
        stream: what its noise follows from, besides the seed.
        file: where it is written, below the folder that a person names.
    """

    group: str
    number: int
    said: Mapping[str, Tensor]
    stream: tuple[str | int, ...]
    file: str


def ask_classes(
    generator: Generator,
    per_class: int,
    classes: Sequence[str] | None = None,
    others: Mapping[str, Sequence[str]] | None = None,
) -> list[Ask]:
    """``per_class`` images of each class, as ``<class>_<nnn>.png``; of all classes where none are named.

    A model that knows more than classes draws them once for each value of those conditions, or of those
    that ``others`` names by condition, into a folder for each. The noise follows from class and number alone:
    image k of a class begins with the same noise whatever else is said.

    Raises UserError, with the nearest name, for what the model does not know, and for no images.
    """
    if per_class < 1:
        raise UserError(f"at least 1 image of each class can be drawn, not {per_class}.")
    names = names_of(generator) if classes is None else classes
    labels = {name: said_class(generator, name) for name in names}
    columns = {column: all_of for column, all_of in generator.vocabulary.items() if column != CLASS}
    values = [(others or {}).get(column) or all_of for column, all_of in columns.items()]
    asks: list[Ask] = []
    for chosen in itertools.product(*values):
        also = {
            column: torch.tensor(place_of(column, name, all_of))
            for (column, all_of), name in zip(columns.items(), chosen, strict=True)
        }
        for name in names:
            group = "/".join((*chosen, name))
            asks += [
                Ask(
                    group,
                    number + 1,
                    labels[name] | also,
                    ("image", name, number),
                    f"{group}_{number + 1:03d}.png",
                )
                for number in range(per_class)
            ]
    return asks


def domains_of(generator: Generator, names: Sequence[str] | None) -> dict[str, Sequence[str]]:
    """The domains that a person named, as ``ask_classes`` takes them.

    Raises UserError where the model draws one domain only, and so can be asked for none.
    """
    if names is None:
        return {}
    if DOMAIN not in generator.vocabulary:
        raise UserError(f"{generator.origin} draws one domain only; leave --domain out.")
    return {DOMAIN: names}


def names_of(generator: Generator) -> tuple[str, ...]:
    """The classes that can be asked for; one name for all images of a model without classes."""
    return generator.class_names or (UNNAMED,)


def said_class(generator: Generator, class_name: str) -> dict[str, Tensor]:
    """A class as labels say it; nothing for a model without classes, which has one name only.

    Raises UserError with the nearest name where the model has no such class.
    """
    place = place_of(CLASS, class_name, names_of(generator))
    return {CLASS: torch.tensor(place)} if generator.class_names else {}


def place_of(column: str, name: str, names: Sequence[str]) -> int:
    """The index of a name; UserError with the nearest one where there is none."""
    if name not in names:
        raise unknown_name(column, name, names)
    return names.index(name)
