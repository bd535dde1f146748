"""MNIST-M from digits and photographs (Ganin et al. 2016, Domain-Adversarial Training, section 5).

Each digit is subtracted from a crop at a random place of a random photograph, per channel and
without sign: ``|crop - digit|``. Where the digit is 255 the photograph appears inverted.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view

from marmor.base.errors import UserError
from marmor.base.seeds import numpy_stream
from marmor.data.classes import natural_key
from marmor.data.decode import decode, is_image
from marmor.data.imageset import ImageSet

# Bounds the signed copies to some 40 MB for 28×28 digits.
IMAGES_AT_ONCE = 8192


def make_mnist_m(
    digits: ImageSet,
    photographs: Sequence[np.ndarray],
    seed: int,
    binarize: bool = False,
    count: int | None = None,
) -> ImageSet:
    """Colour digits (N, 3, H, W) on photographs, with the labels of ``digits``.

    ``photographs``: uint8 (height, width, 3), each at least as large as a digit.
    ``binarize`` sets every pixel of a digit that is not 0 to 255 first: the published test set shows
    full inversion without grey edges.
    ``count`` None makes one image of each digit, in order. Otherwise digits are drawn: a random
    permutation, then further ones with other backgrounds until there are ``count``.

    Raises UserError for colour digits, no photographs, a photograph of another shape or smaller
    than the digits, or a count below 1.
    """
    _check_inputs(digits, photographs, count)
    drawn = digits if count is None else digits.take(_draw(len(digits), count, seed))
    strokes = drawn.images[:, 0].numpy()
    if binarize:
        strokes = np.where(strokes > 0, np.uint8(255), np.uint8(0))
    images = _blend(strokes, photographs, seed)
    note = (
        f"MNIST-M recipe on {len(photographs)} photographs, seed {seed}"
        f"{', digits inverting fully' if binarize else ''}."
    )
    return replace(
        drawn, images=torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), names=(),
        notes=(*drawn.notes, note),
    )  # fmt: skip


def read_photographs(folder: Path) -> list[np.ndarray]:
    """The images of a folder, without sub-folders, as RGB uint8 (height, width, 3), natural order.

    Raises UserError where the folder is missing, holds no images, or an image is damaged.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; expected a folder of photographs.")
    files = sorted(
        (
            path
            for path in folder.iterdir()
            if is_image(path.name) and not path.name.startswith(".")
        ),
        key=lambda path: natural_key(path.name),
    )
    if not files:
        raise UserError(
            f"{folder} holds no images; expected photographs such as .jpg or .png files."
        )
    return [read_photograph(path) for path in files]


def read_photograph(path: Path) -> np.ndarray:
    """One image file as RGB uint8 (height, width, 3)."""
    pixels = decode(path.read_bytes(), str(path)).pixels
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def _check_inputs(digits: ImageSet, photographs: Sequence[np.ndarray], count: int | None) -> None:
    if digits.channels != 1:
        raise UserError(
            "MNIST-M is made from grey digits, and these are in colour; give grey ones."
        )
    if not len(photographs):
        raise UserError("MNIST-M needs at least one photograph; give a folder that holds some.")
    if count is not None and (count < 1 or not len(digits)):
        raise UserError(f"cannot draw {count} images from {len(digits)} digits; give 1 or more.")
    height, width = digits.size
    for index, photograph in enumerate(photographs):
        if photograph.dtype != np.uint8 or photograph.ndim != 3 or photograph.shape[2] != 3:
            raise UserError(
                f"photograph {index + 1} is {photograph.dtype} {photograph.shape}, "
                "expected uint8 (height, width, 3)."
            )
        if photograph.shape[0] < height or photograph.shape[1] < width:
            raise UserError(
                f"photograph {index + 1} is {photograph.shape[1]}×{photograph.shape[0]}, smaller "
                f"than the digits ({width}×{height}); remove it or give a larger one."
            )


def _draw(available: int, count: int, seed: int) -> torch.Tensor:
    rounds = -(-count // available)
    orders = [
        numpy_stream(seed, "mnist-m", "order", index).permutation(available)
        for index in range(rounds)
    ]
    return torch.from_numpy(np.concatenate(orders)[:count])


def _blend(strokes: np.ndarray, photographs: Sequence[np.ndarray], seed: int) -> np.ndarray:
    """(N, H, W) digits → (N, H, W, 3), each on its own crop."""
    count, height, width = strokes.shape
    choice, top, left = _places(photographs, count, height, width, seed)
    images = np.empty((count, height, width, 3), np.uint8)
    for start in range(0, count, IMAGES_AT_ONCE):
        block = np.arange(start, min(start + IMAGES_AT_ONCE, count))
        for index, photograph in enumerate(photographs):
            chosen = block[choice[block] == index]
            windows = sliding_window_view(photograph, (height, width, 3))[:, :, 0]
            # uint8 would wrap below zero: the difference is taken in signed numbers.
            crops = windows[top[chosen], left[chosen]].astype(np.int16)
            images[chosen] = np.abs(crops - strokes[chosen, :, :, None])
    return images


def _places(
    photographs: Sequence[np.ndarray], count: int, height: int, width: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each image the photograph and the top left corner of the crop."""
    stream = numpy_stream(seed, "mnist-m", "places")
    choice = stream.integers(len(photographs), size=count)
    room = np.array([[p.shape[0] - height, p.shape[1] - width] for p in photographs])
    top = stream.integers(room[choice, 0], endpoint=True)
    left = stream.integers(room[choice, 1], endpoint=True)
    return choice, top, left
