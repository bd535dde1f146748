"""From a list of image files with labels to an ImageSet."""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from marmor.data.classes import class_indices
from marmor.data.decode import decode
from marmor.data.imageset import ImageSet
from marmor.data.readers.tree import Tree
from marmor.data.squares import CROPPED, Fit, MixedSizesError, size_text


@dataclass(frozen=True)
class Listing:
    """The image files to read, in order, and what their layout says of them.

    ``labels`` has a class name for each file, or is None: unlabelled, with no ``class_names``.
    """

    tree: Tree
    names: tuple[str, ...]
    labels: tuple[str, ...] | None = None
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class _Loaded(NamedTuple):
    pixels: Tensor  # uint8 (C, H, W)
    original: tuple[int, int]
    remarks: tuple[str, ...]


def load_listing(listing: Listing, size: int | None, fit: Fit = CROPPED) -> ImageSet:
    """Decodes the files in threads and stacks them; other sizes are fitted to ``size``.

    Raises UserError for a damaged image, for sizes that differ while ``size`` is None, and for
    labels outside ``class_names``.
    """
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        loaded = list(pool.map(lambda name: _load(listing.tree, name, size, fit), listing.names))
    if size is None:
        _check_one_size(listing, loaded)
    images, channel_notes = _stack([image.pixels for image in loaded])
    labels, vocabulary = {}, {}
    if listing.labels is not None:
        where = str(listing.tree.root)
        labels["class"] = class_indices(listing.labels, listing.class_names, where)
        vocabulary["class"] = listing.class_names
    notes = (*listing.notes, *_remarks(loaded), *channel_notes, *_resized(loaded, size, fit))
    return ImageSet(images, labels, vocabulary, listing.names, notes)


def _load(tree: Tree, name: str, size: int | None, fit: Fit) -> _Loaded:
    picture = decode(tree.load(name), tree.where(name))
    pixels = torch.from_numpy(picture.pixels).permute(2, 0, 1)
    original = (pixels.shape[1], pixels.shape[2])
    if size is not None and original != (size, size):
        # Here and not after stacking: large photographs of many sizes need not all fit in memory.
        pixels = fit(pixels[None], size)[0]
    return _Loaded(pixels, original, picture.remarks)


def _check_one_size(listing: Listing, loaded: list[_Loaded]) -> None:
    first = loaded[0].original
    other = next((i for i, image in enumerate(loaded) if image.original != first), None)
    if other is not None:
        raise MixedSizesError(
            f"the images of {listing.tree.root} differ in size: {listing.names[0]} is "
            f"{size_text(first)} and {listing.names[other]} is "
            f"{size_text(loaded[other].original)}; pass --size N to bring all to N×N."
        )


def _stack(pixels: list[Tensor]) -> tuple[Tensor, tuple[str, ...]]:
    grey = sum(image.shape[0] == 1 for image in pixels)
    if grey in (0, len(pixels)):
        return torch.stack(pixels), ()
    widened = torch.stack([image.expand(3, -1, -1) for image in pixels])
    return widened, (f"{grey} of {len(pixels)} images are grey and were widened to colour.",)


def _remarks(loaded: list[_Loaded]) -> tuple[str, ...]:
    counts = Counter(remark for image in loaded for remark in image.remarks)
    return tuple(f"{n} of {len(loaded)} images: {remark}" for remark, n in counts.items())


def _resized(loaded: list[_Loaded], size: int | None, fit: Fit) -> tuple[str, ...]:
    originals = {image.original for image in loaded}
    if size is None or originals == {(size, size)}:
        return ()
    return (fit.note(originals, size),)
