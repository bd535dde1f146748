"""What is it? From a name or a path to the reader that knows it."""

import difflib
from dataclasses import replace
from pathlib import Path

from marmor.base.errors import UserError
from marmor.data.decode import is_image
from marmor.data.embedded import EMBEDDED
from marmor.data.imageset import ImageSet
from marmor.data.readers.archive import archive_tree
from marmor.data.readers.layouts import arrange
from marmor.data.readers.listing import load_listing
from marmor.data.readers.npz import read_npz
from marmor.data.readers.torchvision_files import find_published_files
from marmor.data.readers.tree import folder_tree
from marmor.data.scenes.reading import is_scenes, read_scenes
from marmor.data.splits import check_split, without_splits
from marmor.data.squares import CROPPED, Fit


def read(spec: str, split: str = "train", size: int | None = None, fit: Fit = CROPPED) -> ImageSet:
    """A set of images from an embedded name or a path.

    ``spec`` is one of

    * an embedded name (``EMBEDDED``; a folder of that name is read as ``./name``);
    * a folder or ``.zip`` of images: class sub-folders; the course layout ``data/*.png`` with
      ``train.csv``, ``val.csv``, ``test.csv`` (header ``image_name,label``); files named
      ``<class>_<n>.png``; files without labels; ``train/`` and ``test/`` folders of these;
    * an ``.npz`` with ``images`` and ``labels`` or ``train_images``, ``train_labels``, ``test_*``;
    * a folder of scenes with ``objects.json`` and ``train.json``, as i-CLEVR has it;
    * the published files of MNIST (IDX), SVHN (``train_32x32.mat``), USPS (``usps.bz2``), or a
      folder that holds them.

    ``split``: train, val, test or extra; a source without splits serves every split, with a note.
    ``size``: bring all images to ``size`` × ``size``; needed where sizes differ. ``fit``: how; pictures of
    scenes are always squashed.

    Images come in natural order of their file names. Integer class names are ordered by number,
    others by alphabet. What was converted stands in ``notes``. Raises UserError, in one sentence,
    for anything that cannot be read so.
    """
    check_split(split)
    if size is not None and size < 1:
        raise UserError(f"the size is {size}, expected a number of pixels of at least 1.")
    images = EMBEDDED[spec](split) if spec in EMBEDDED else _read_path(spec, split, size, fit)
    return images if size is None else images.resized(size, fit)


def _read_path(spec: str, split: str, size: int | None, fit: Fit) -> ImageSet:
    path = Path(spec).expanduser()
    try:
        if not path.exists():
            raise _missing(spec)
        published = find_published_files(path)
        if published:
            return published(split)
        if is_scenes(path):
            scenes = read_scenes(path, size)
            return replace(scenes, notes=(*scenes.notes, *without_splits(split)))
        if path.is_dir():
            return load_listing(arrange(folder_tree(path), split), size, fit)
        return _read_file(path, split, size, fit)
    except OSError as error:
        place = error.filename or path
        raise UserError(
            f"{place} cannot be read: {error.strerror or error}; check its permissions."
        ) from error


def _read_file(path: Path, split: str, size: int | None, fit: Fit) -> ImageSet:
    if path.suffix.lower() == ".npz":
        return read_npz(path, split)
    if path.suffix.lower() == ".zip":
        with archive_tree(path) as tree:
            return load_listing(arrange(tree, split), size, fit)
    if is_image(path.name):
        raise UserError(f"{path} is one image, expected a set of them; give the folder it lies in.")
    raise UserError(
        f"{path} is a file of unknown kind; expected a folder of images, .npz, .zip, "
        "train_32x32.mat (SVHN), usps.bz2 (USPS) or train-images-idx3-ubyte (MNIST)."
    )


def _missing(spec: str) -> UserError:
    near = difflib.get_close_matches(spec, EMBEDDED, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return UserError(
        f"{spec} does not exist: {hint}expected a path, or an embedded data set "
        f"({', '.join(sorted(EMBEDDED))})."
    )
