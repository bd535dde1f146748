"""Files of MNIST (IDX), SVHN (.mat) and USPS (.bz2) as their authors publish them.

torchvision parses them; it never downloads anything here. All three hold the digits 0 … 9. It is
imported where it is needed: that takes a second, which every other command would wait too.
"""

import gzip
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from marmor.base.errors import UserError
from marmor.data.classes import DIGITS
from marmor.data.imageset import ImageSet
from marmor.data.readers.archive import LARGEST
from marmor.data.splits import missing_split

_IDX = {"train": "train", "test": "t10k"}
_SVHN = {split: f"{split}_32x32.mat" for split in ("train", "test", "extra")}
_USPS = {"train": "usps.bz2", "test": "usps.t.bz2"}


# Reads one split of files that were found; UserError where they are missing or damaged.
SplitReader = Callable[[str], ImageSet]


def find_published_files(path: Path) -> SplitReader | None:
    """How to read ``path``, a folder with published files or one of the files; None for others.

    A file named directly is read whatever split is asked for.
    """
    if path.is_file():
        return _reader_of_file(path)
    for folder in (path, path / "raw", path / "MNIST" / "raw"):
        if any(_idx_file(folder, word, "images") for word in _IDX.values()):
            return partial(_read_from_folder, folder, "idx")
    for kind, files in (("svhn", _SVHN), ("usps", _USPS)):
        if any((path / name).is_file() for name in files.values()):
            return partial(_read_from_folder, path, kind)
    return None


def _reader_of_file(path: Path) -> SplitReader | None:
    own = {_SVHN[split]: ("svhn", split) for split in _SVHN}
    own |= {_USPS[split]: ("usps", split) for split in _USPS}
    idx = re.fullmatch(r"(train|t10k)-images[.-]idx3-ubyte(\.gz)?", path.name)
    if idx:
        kind, split = "idx", "train" if idx[1] == "train" else "test"
    elif path.name in own:
        kind, split = own[path.name]
    else:
        return None
    return lambda _: _read_from_folder(path.parent, kind, split)


def _read_from_folder(folder: Path, kind: str, split: str) -> ImageSet:
    if kind == "idx":
        present = [s for s, word in _IDX.items() if _idx_file(folder, word, "images")]
    else:
        files = _SVHN if kind == "svhn" else _USPS
        present = [s for s, name in files.items() if (folder / name).is_file()]
    if split not in present:
        raise missing_split(str(folder), split, present)
    read = {"idx": _read_idx, "svhn": _read_svhn, "usps": _read_usps}[kind]
    return read(folder, split)


def _read_idx(folder: Path, split: str) -> ImageSet:
    from torchvision.datasets.mnist import read_image_file, read_label_file

    image_file = _idx_file(folder, _IDX[split], "images")
    label_file = _idx_file(folder, _IDX[split], "labels")
    if image_file is None or label_file is None:
        raise UserError(
            f"{folder} has no {_IDX[split]}-labels-idx1-ubyte for its images; add it (or its .gz)."
        )
    with _told(image_file, "MNIST's IDX format"), _plain(image_file) as plain:
        images = read_image_file(str(plain))
    with _told(label_file, "MNIST's IDX format"), _plain(label_file) as plain:
        labels = read_label_file(str(plain))
    return _digit_set(images[:, None], labels, image_file)


def _read_svhn(folder: Path, split: str) -> ImageSet:
    from torchvision.datasets import SVHN

    class AnySVHN(SVHN):
        """torchvision takes only the published checksum; a subset of the file is as welcome."""

        def _check_integrity(self) -> bool:
            return True

    path = folder / _SVHN[split]
    with _told(path, "SVHN's cropped digits (MATLAB file with X and y)"):
        data = AnySVHN(str(folder), split)
        images = torch.from_numpy(np.ascontiguousarray(data.data))
        labels = torch.from_numpy(np.asarray(data.labels).reshape(-1))
    return _digit_set(images, labels, path)


def _read_usps(folder: Path, split: str) -> ImageSet:
    from torchvision.datasets import USPS

    path = folder / _USPS[split]
    with _told(path, "USPS in LIBSVM's format (.bz2)"):
        data = USPS(str(folder), train=split == "train", download=False)
        images = torch.from_numpy(data.data)[:, None]
    return _digit_set(images, torch.tensor(data.targets, dtype=torch.int64), path)


def _digit_set(images: Tensor, labels: Tensor, path: Path) -> ImageSet:
    if len(images) != len(labels) or not len(images):
        raise UserError(
            f"{path} has {len(images)} images and {len(labels)} labels, expected as many of both; "
            "get the files again."
        )
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise UserError(
            f"{path} holds {images.dtype} of shape {tuple(images.shape)}, expected bytes of grey "
            "or RGB images; get the file again."
        )
    if not 0 <= int(labels.min()) <= int(labels.max()) <= 9:
        raise UserError(
            f"{path} has labels from {labels.min()} to {labels.max()}, expected the digits 0 to 9; "
            "give other classes as .npz or as folders."
        )
    return ImageSet(images.contiguous(), {"class": labels}, {"class": DIGITS})


def _idx_file(folder: Path, word: str, content: str) -> Path | None:
    """e.g. train-images-idx3-ubyte; some downloads write a dot for the second dash."""
    number = {"images": 3, "labels": 1}[content]
    names = [f"{word}-{content}{mark}idx{number}-ubyte{z}" for mark in "-." for z in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


@contextmanager
def _plain(path: Path) -> Iterator[Path]:
    """``path``, or a decompressed copy where it is gzip: torchvision reads plain IDX only."""
    if path.suffix != ".gz":
        yield path
        return
    with tempfile.TemporaryDirectory() as folder, gzip.open(path) as packed:
        content = packed.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise UserError(f"{path} decompresses to more than {LARGEST / 1024**3:.3g} GiB.")
        copy = Path(folder) / path.stem
        copy.write_bytes(content)
        yield copy


@contextmanager
def _told(path: Path, kind: str) -> Iterator[None]:
    """Whatever a parser makes of a damaged file (it may be any exception) becomes one sentence."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise UserError(
            f"{path} cannot be read as {kind}: {reason}; get the file again."
        ) from error
