from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from marmor.data import ImageSet


@pytest.fixture
def pixels() -> Callable[..., np.ndarray]:
    """Random bytes of a shape, the same for the same seed."""

    def make(*shape: int, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)

    return make


@pytest.fixture
def save(pixels) -> Callable[..., Path]:
    """Writes a random PNG, (H, W) grey or (H, W, 3) colour."""

    def write_image(path: Path, *shape: int, seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(*(shape or (6, 6)), seed=seed)).save(path)
        return path

    return write_image


@pytest.fixture
def labelled(pixels) -> Callable[..., ImageSet]:
    """A set with the given number of images of each class, classes in turn."""

    def make(*counts: int, channels: int = 1, size: int = 6, seed: int = 0) -> ImageSet:
        labels = torch.cat([torch.full((n,), k) for k, n in enumerate(counts)])
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
        images = torch.from_numpy(pixels(len(labels), channels, size, size, seed=seed))
        names = tuple(str(k) for k in range(len(counts)))
        return ImageSet(images, {"class": labels[order]}, {"class": names})

    return make
