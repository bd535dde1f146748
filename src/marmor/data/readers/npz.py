"""NumPy archives with arrays ``images`` and ``labels``, or ``train_images``, ``test_images`` …"""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from marmor.base.errors import UserError
from marmor.data.classes import class_indices, class_order
from marmor.data.imageset import ImageSet
from marmor.data.readers.archive import check_size
from marmor.data.splits import SPLITS, missing_split, without_splits

# What numpy and zipfile raise for damaged files and pickled objects.
_FAULTS = (ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)


def read_npz(path: Path, split: str) -> ImageSet:
    """The images of one split.

    Arrays: ``<split>_images`` or ``images`` (then it serves every split), uint8, (N, H, W),
    (N, H, W, C) or (N, C, H, W) with C 1 or 3. Optional ``labels``: (N,) integers or strings;
    ``class_names``: strings that integer labels count into; ``names``: strings (N,).
    Raises UserError for anything else; pickled objects are never loaded.
    """
    with _Arrays(path) as arrays:
        prefix = _prefix(arrays, split)
        images = _to_nchw(arrays[f"{prefix}images"], f"{path}: {prefix}images")
        labels, class_names = _labels(arrays, prefix, len(images))
        names = _texts(arrays, f"{prefix}names") if f"{prefix}names" in arrays else ()
        if names and len(names) != len(images):
            raise UserError(
                f"{path} has {len(names)} names for {len(images)} images; make it again."
            )
    notes = () if prefix else without_splits(split)
    vocabulary = {"class": class_names} if labels else {}
    return ImageSet(images, labels, vocabulary, names, (*notes, *_dark(images)))


class _Arrays(Mapping[str, np.ndarray]):
    """The arrays of an .npz file, with every fault told as a UserError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                check_size(archive, path)
            self._file = np.load(path, allow_pickle=False)
        except _FAULTS as error:
            raise UserError(
                f"{path} cannot be read as .npz ({error}); expected a whole file as numpy.savez "
                "writes it, so get or make it again."
            ) from error

    def __enter__(self) -> "_Arrays":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __iter__(self):
        return iter(self._file.files)

    def __len__(self) -> int:
        return len(self._file.files)

    def __getitem__(self, key: str) -> np.ndarray:
        try:
            return self._file[key]
        except _FAULTS as error:
            raise UserError(
                f"{self.path}: the array {key} cannot be read ({error}); expected plain numbers or "
                "strings in a whole file, without pickled objects."
            ) from error


def _prefix(arrays: _Arrays, split: str) -> str:
    if f"{split}_images" in arrays:
        return f"{split}_"
    if "images" in arrays:
        return ""
    present = [name for name in SPLITS if f"{name}_images" in arrays]
    if present:
        raise missing_split(str(arrays.path), split, present)
    raise UserError(
        f"{arrays.path} has the arrays {', '.join(arrays) or 'none'}; expected images and labels, "
        "or train_images, train_labels, test_images and test_labels."
    )


def _to_nchw(images: np.ndarray, where: str) -> Tensor:
    if _normalised(images):
        raise UserError(
            f"{where} is {images.dtype}{_range(images)}: these were normalised by mean and spread, as for "
            "ImageNet, which a generator that ends in a tanh cannot draw; give the uint8 images in 0 … 255, "
            "of which marmor makes -1 … 1 itself."
        )
    if images.dtype != np.uint8:
        raise UserError(
            f"{where} is {images.dtype}{_range(images)}, expected uint8 in 0 … 255; convert it, "
            "for values in 0 … 1 with (x * 255).round().astype('uint8'), for -1 … 1 with "
            "((x + 1) * 127.5).round().astype('uint8')."
        )
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or not {images.shape[1], images.shape[3]} & {1, 3}:
        raise UserError(
            f"{where} has the shape {images.shape}, expected (N, H, W), (N, H, W, C) or "
            "(N, C, H, W) with 1 or 3 channels C."
        )
    if images.size == 0:
        raise UserError(f"{where} is empty: its shape is {images.shape}; expected images.")
    channels_last = images.shape[3] in (1, 3)
    ordered = images.transpose(0, 3, 1, 2) if channels_last else images
    return torch.from_numpy(np.ascontiguousarray(ordered))


def _normalised(images: np.ndarray) -> bool:
    """Whether these are pixels less their mean, over their spread: darker than 0, and not -1 … 1."""
    if images.dtype.kind != "f" or not images.size:
        return False
    return images.min() < -1 or (images.min() < 0 and images.max() > 1)


def _range(values: np.ndarray) -> str:
    if values.dtype.kind not in "iuf" or values.size == 0:
        return ""
    return f" in {values.min():.4g} … {values.max():.4g}"


def _labels(arrays: _Arrays, prefix: str, count: int) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    key = f"{prefix}labels"
    if key not in arrays:
        return {}, ()
    labels = arrays[key]
    where = f"{arrays.path}: {key}"
    if labels.shape != (count,) or labels.dtype.kind not in "iuU":
        raise UserError(
            f"{where} is {labels.dtype} of shape {labels.shape}, expected {count} integers or "
            "strings, one for each image."
        )
    if "class_names" not in arrays:
        keys = ("labels", *(f"{split}_labels" for split in SPLITS))
        every = [arrays[name] for name in keys if name in arrays]
        class_names = class_order(
            str(value) for part in every for value in np.unique(part).tolist()
        )
    else:
        class_names = _texts(arrays, "class_names")
        if len(set(class_names)) != len(class_names):
            raise UserError(f"{arrays.path}: class_names names a class twice; keep each name once.")
        if labels.dtype.kind in "iu":
            return {"class": _positions(labels, class_names, where)}, class_names
    texts = [str(value) for value in labels.tolist()]
    return {"class": class_indices(texts, class_names, where)}, class_names


def _positions(labels: np.ndarray, class_names: tuple[str, ...], where: str) -> Tensor:
    if labels.min() < 0 or labels.max() >= len(class_names):
        raise UserError(
            f"{where} runs from {labels.min()} to {labels.max()}, expected 0 to "
            f"{len(class_names) - 1} for its {len(class_names)} class_names."
        )
    return torch.from_numpy(labels.astype(np.int64))


def _texts(arrays: _Arrays, key: str) -> tuple[str, ...]:
    values = arrays[key]
    if values.ndim != 1 or values.dtype.kind != "U":
        raise UserError(
            f"{arrays.path}: {key} is {values.dtype} of shape {values.shape}, expected a list of "
            "strings."
        )
    return tuple(values.tolist())


def _dark(images: Tensor) -> tuple[str, ...]:
    if int(images.max()) != 1:
        return ()
    return ("The largest pixel value is 1: were these images in 0 … 1? They are read as 0 … 255.",)
