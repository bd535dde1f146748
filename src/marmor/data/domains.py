"""Sets of the same classes from different places, as one."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from marmor.data.imageset import ImageSet
from marmor.data.join import join

DOMAIN = "domain"
"""The column of labels that says which of the sets an image is from."""


def join_domains(parts: Mapping[str, ImageSet]) -> ImageSet:
    """All images in order, with a column that names where each is from; notes say it too.

    Grey sets among colour ones become colour. Raises UserError where labels or sizes differ.
    """
    names = tuple(parts)
    return join([_from(images, place, names) for place, images in enumerate(parts.values())])


def _from(images: ImageSet, place: int, names: tuple[str, ...]) -> ImageSet:
    return replace(
        images,
        labels={**images.labels, DOMAIN: torch.full((len(images),), place)},
        vocabulary={**images.vocabulary, DOMAIN: names},
        notes=tuple(f"{names[place]}: {note}" for note in images.notes),
    )
