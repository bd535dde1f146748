"""The course layout: ``data/*.png`` and one CSV ``image_name,label`` for each split."""

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path

from marmor.base.errors import UserError
from marmor.base.files import inside
from marmor.data.classes import class_order, natural_key
from marmor.data.decode import is_image
from marmor.data.readers.listing import Listing
from marmor.data.readers.tree import Tree, folder_tree
from marmor.data.splits import SPLITS, missing_split

# Labelled and unlabelled splits.
HEADERS = (["image_name", "label"], ["image_name"])
# Written beside the CSVs: classes that no image shows, and their order.
CLASSES_FILE = "classes.json"

Rows = dict[str, str | None]


def has_course_layout(tree: Tree) -> bool:
    """Whether a CSV of a split lies at the root of the tree."""
    return bool(_present(tree))


def course_listing(tree: Tree, split: str) -> Listing:
    """The images that ``<split>.csv`` lists, in natural order of their names.

    Images lie in ``data/`` beside the CSV, or in ``data/`` of the parent folder, or beside the CSV
    itself. Class names are those of all splits together, or of ``classes.json`` where it exists.
    Raises UserError for a split without CSV and for CSV lines that do not fit the images.
    """
    present = _present(tree)
    if split not in present:
        raise missing_split(str(tree.root), split, [f"{name} ({name}.csv)" for name in present])
    rows = {name: _rows(tree, f"{name}.csv") for name in present}
    images = _image_tree(tree)
    chosen = rows[split]
    _check_files(images, chosen, tree.where(f"{split}.csv"))
    names = tuple(sorted(chosen, key=natural_key))
    notes = _unlisted(images, {name for listed in rows.values() for name in listed})
    labels = tuple(label for label in (chosen[name] for name in names) if label is not None)
    if not labels:
        return Listing(images, names, notes=notes)
    every = (label for listed in rows.values() for label in listed.values() if label is not None)
    return Listing(images, names, labels, _class_names(tree, every), notes)


def _present(tree: Tree) -> list[str]:
    return [split for split in SPLITS if f"{split}.csv" in tree.names]


def _image_tree(tree: Tree) -> Tree:
    if any(name.startswith("data/") for name in tree.names):
        return tree.below("data")
    beside = tree.root.parent / "data"
    if tree.root.is_dir() and beside.is_dir() and not any(map(is_image, tree.names)):
        return folder_tree(beside)
    return tree


def _rows(tree: Tree, file: str) -> Rows:
    """File name → label of one CSV; None for every label where the CSV has no label column."""
    where = tree.where(file)
    try:
        lines = csv.reader(io.StringIO(tree.load(file).decode("utf-8-sig")))
        header = [cell.strip() for cell in next(lines, [])]
        if header not in HEADERS:
            raise UserError(
                f"{where} begins with {','.join(header)!r}, expected the header image_name,label; "
                "correct its first line."
            )
        rows: Rows = {}
        for cells in filter(None, lines):
            _add_row(
                rows, [cell.strip() for cell in cells], header, f"{where}, line {lines.line_num}"
            )
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{where} is no CSV text ({error}); save it as UTF-8 CSV.") from error
    if not rows:
        raise UserError(
            f"{where} lists no images; expected a line image_name,label for each image."
        )
    return rows


def _add_row(rows: Rows, cells: list[str], header: list[str], where: str) -> None:
    if len(cells) != len(header) or not all(cells):
        raise UserError(
            f"{where} is {','.join(cells)!r}, expected {','.join(header)}; correct this line."
        )
    if cells[0] in rows:
        raise UserError(f"{where} lists {cells[0]} a second time; keep one line for each image.")
    rows[cells[0]] = cells[1] if len(cells) == 2 else None


def _check_files(images: Tree, names: Iterable[str], where: str) -> None:
    available = set(images.names)
    for name in names:
        if name not in available:
            inside(Path(images.root), name)
            raise UserError(
                f"{where} names {name}, which is not in {images.root}; add the file or remove "
                "the line."
            )
        if not is_image(name):
            raise UserError(f"{where} names {name}, which is no image file; expected .png or .jpg.")


def _unlisted(images: Tree, listed: set[str]) -> tuple[str, ...]:
    unlisted = [name for name in images.names if is_image(name) and name not in listed]
    if not unlisted:
        return ()
    return (f"{len(unlisted)} images are in no CSV and were left out, e.g. {unlisted[0]}.",)


def _class_names(tree: Tree, labels: Iterable[str]) -> tuple[str, ...]:
    if CLASSES_FILE not in tree.names:
        return class_order(labels)
    where = tree.where(CLASSES_FILE)
    try:
        names = json.loads(tree.load(CLASSES_FILE))
    except ValueError as error:
        raise UserError(f"{where} is not JSON ({error}); correct or remove it.") from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f'{where} is not a list of class names such as ["cat", "dog"]; correct it.')
    if len(set(names)) != len(names):
        raise UserError(f"{where} names a class twice; keep each name once.")
    return tuple(names)
