"""Several sets as one."""

from collections.abc import Sequence

import torch

from marmor.base.errors import UserError
from marmor.data.imageset import ImageSet


def join(parts: Sequence[ImageSet]) -> ImageSet:
    """All images of sets with the same labels and size, in order.

    Grey sets among colour ones become colour. Raises UserError where labels or sizes differ.
    """
    first, *others = parts
    if not others:
        return first
    if any(part.channels == 3 for part in parts):
        first, *others = (part if part.channels == 3 else part.colour() for part in parts)
    for part in others:
        if part.vocabulary != first.vocabulary or part.size != first.size:
            raise UserError(
                "sets that are joined need the same labels and the same size, but one has "
                f"{_kind(first)} and another {_kind(part)}; rename the classes, or pass --size."
            )
    every = [first, *others]
    return ImageSet(
        images=torch.cat([part.images for part in every]),
        labels={key: torch.cat([part.labels[key] for part in every]) for key in first.labels},
        vocabulary=first.vocabulary,
        notes=tuple(dict.fromkeys(note for part in every for note in part.notes)),
    )


def _kind(part: ImageSet) -> str:
    height, width = part.size
    labels = [f"the {column} {', '.join(names)}" for column, names in part.vocabulary.items()]
    return f"{' and '.join(labels) or 'none'} at {width}×{height}"
