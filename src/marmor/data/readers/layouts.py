"""How image files are named tells their classes: sub-folders, ``<class>_<n>`` names, or nothing."""

from marmor.base.errors import UserError
from marmor.data.classes import class_in_name, class_order
from marmor.data.decode import is_image
from marmor.data.imageset import READ_WITHOUT
from marmor.data.readers.course import course_listing, has_course_layout
from marmor.data.readers.listing import Listing
from marmor.data.readers.tree import Tree
from marmor.data.splits import SPLITS, missing_split, without_splits


def arrange(tree: Tree, split: str) -> Listing:
    """The listing of a folder or archive in any of the layouts that ``read`` documents."""
    tree = _unwrapped(tree)
    if has_course_layout(tree):
        return course_listing(tree, split)
    images = tuple(name for name in tree.names if is_image(name))
    if not images:
        raise UserError(
            f"{tree.root} holds no images; expected class sub-folders, data/ with train.csv, "
            "or image files such as .png or .jpg."
        )
    tops = {_top(name) for name in images}
    if tops <= set(SPLITS):
        return _split_folders(tree, images, split)
    return _one_collection(tree, images, without_splits(split))


def _one_collection(tree: Tree, images: tuple[str, ...], notes: tuple[str, ...]) -> Listing:
    nested = ["/" in name for name in images]
    if all(nested):
        labels = tuple(_top(name) for name in images)
        return Listing(tree, images, labels, class_order(labels), notes)
    if any(nested):
        raise UserError(
            f"{tree.root} holds images both directly ({images[nested.index(False)]}) and in "
            f"sub-folders ({images[nested.index(True)]}); keep either class sub-folders or one "
            "flat folder."
        )
    return _flat(tree, images, notes)


def _flat(tree: Tree, images: tuple[str, ...], notes: tuple[str, ...]) -> Listing:
    found = [class_in_name(name) for name in images]
    labels = tuple(label for label in found if label is not None)
    if not labels:
        return Listing(tree, images, notes=notes)
    if len(labels) < len(images):
        odd = images[found.index(None)]
        reason = f"{odd} is not named <class>_<n> as others are"
    elif len(set(labels)) == 1:
        # IMG_0001, IMG_0002 … is how cameras name files; one class alone would teach nothing.
        reason = f"all names begin with {labels[0]!r}"
    else:
        return Listing(tree, images, labels, class_order(labels), notes)
    return Listing(tree, images, notes=(*notes, f"{READ_WITHOUT}{reason}."))


def _split_folders(tree: Tree, images: tuple[str, ...], split: str) -> Listing:
    """train/ and test/ that each hold one collection; class names are those of all together."""
    present = [name for name in SPLITS if any(_top(image) == name for image in images)]
    if split not in present:
        raise missing_split(str(tree.root), split, present)
    parts = {name: tree.below(name) for name in present}
    listings = {
        name: _one_collection(part, tuple(filter(is_image, part.names)), ())
        for name, part in parts.items()
    }
    class_names = class_order(label for part in listings.values() for label in part.labels or ())
    chosen = listings[split]
    names = class_names if chosen.labels is not None else ()
    return Listing(chosen.tree, chosen.names, chosen.labels, names, chosen.notes)


def _unwrapped(tree: Tree) -> Tree:
    """Without the one folder that an archive or a download wraps around a whole data set.

    A single sub-folder with plainly named images stays: it is a class.
    """
    tops = {_top(name) for name in tree.names if is_image(name) or name.endswith(".csv")}
    if len(tops) != 1 or tops <= {"", *SPLITS}:
        return tree
    inner = tree.below(tops.pop())
    images = [name for name in inner.names if is_image(name)]
    deeper = any("/" in name for name in images)
    numbered = bool(images) and all(map(class_in_name, images))
    return _unwrapped(inner) if deeper or numbered or has_course_layout(inner) else tree


def _top(name: str) -> str:
    return name.split("/", 1)[0] if "/" in name else ""
