"""Pictures of scenes in i-CLEVR's layout, rendered here or the published ones, as a set of images."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

import torch

from marmor.base.errors import UserError
from marmor.data.imageset import ImageSet
from marmor.data.readers.listing import Listing, load_listing
from marmor.data.readers.tree import folder_tree
from marmor.data.scenes.lists import read_objects, read_pictures
from marmor.data.squares import SQUASHED

SHOWS = "objects"
"""The column of labels that says which objects a picture shows."""


def is_scenes(folder: Path) -> bool:
    """Whether a folder has i-CLEVR's layout."""
    return all((folder / name).is_file() for name in ("objects.json", "train.json"))


def read_scenes(folder: Path, size: int | None) -> ImageSet:
    """The pictures that train.json names, with the column ``objects``: which each of them shows.

    Pictures may lie in the folder or in any below it. Those of another size are squashed to ``size``,
    not cropped: an object may stand at the border. Raises UserError for what the JSON files may not say,
    for pictures that are missing, and for sizes that differ while ``size`` is None.
    """
    objects = read_objects(folder / "objects.json")
    pictures = read_pictures(folder / "train.json", objects)
    tree = folder_tree(folder)
    places: dict[str, str] = {}
    for name in tree.names:
        wanted = PurePosixPath(name).name
        if wanted in pictures and wanted in places:
            raise UserError(
                f"{folder} has two pictures named {wanted}, {places[wanted]} and {name}; keep one."
            )
        places[wanted] = name
    missing = [name for name in pictures if name not in places]
    if missing:
        raise UserError(
            f"{folder / 'train.json'} names {len(missing):,} pictures that are not in {folder}, such as "
            f"{missing[0]}; put them there, or render them: "
            f"marmor data make scenes --spec {folder} --out NEW."
        )
    listing = Listing(tree, tuple(places[name] for name in pictures))
    images = load_listing(listing, size, SQUASHED)
    shown = torch.zeros(len(pictures), len(objects), dtype=torch.bool)
    for row, scene in zip(shown, pictures.values(), strict=True):
        row[scene] = True
    names = tuple(pictures)
    return replace(images, names=names, labels={SHOWS: shown}, vocabulary={SHOWS: objects})
