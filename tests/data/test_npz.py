from pathlib import Path

import numpy as np
import pytest
import torch

from marmor.base.errors import UserError
from marmor.data import read


@pytest.fixture
def stored(tmp_path):
    def store(**arrays) -> str:
        np.savez(tmp_path / "x.npz", **arrays)
        return str(tmp_path / "x.npz")

    return store


@pytest.mark.parametrize(
    ("shape", "channels_first"),
    [
        ((4, 6, 5), (4, 1, 6, 5)),
        ((4, 6, 5, 1), (4, 1, 6, 5)),
        ((4, 6, 5, 3), (4, 3, 6, 5)),
        ((4, 1, 6, 5), (4, 1, 6, 5)),
        ((4, 3, 6, 5), (4, 3, 6, 5)),
    ],
)
def test_axes(stored, pixels, shape, channels_first):
    images = read(stored(images=pixels(*shape)))
    assert images.images.shape == channels_first
    assert images.labels == {}
    expected = pixels(*shape)
    if shape[-1] == 3:
        expected = expected.transpose(0, 3, 1, 2)
    assert (images.images.numpy().ravel() == expected.ravel()).all()


def test_images_alone_serve_every_split(stored, pixels):
    path = stored(images=pixels(3, 4, 4), labels=np.array([7, 3, 7]))
    images = read(path, "test")
    assert images.class_names == ("3", "7")
    assert images.labels["class"].tolist() == [1, 0, 1]
    assert "serves as 'test'" in images.notes[0]


def test_split_picks_and_class_names_are_of_all_splits(stored, pixels):
    path = stored(
        train_images=pixels(2, 4, 4, seed=1),
        train_labels=np.array([10, 2], np.uint8),
        test_images=pixels(1, 4, 4, seed=2),
        test_labels=np.array([9], np.int32),
    )
    test = read(path, "test")
    assert test.class_names == ("2", "9", "10")
    assert test.labels["class"].tolist() == [1]
    assert torch.equal(test.images[0, 0], torch.from_numpy(pixels(1, 4, 4, seed=2)[0]))
    assert test.notes == ()
    with pytest.raises(UserError, match="no 'val' split; it has train, test"):
        read(path, "val")


def test_labels_as_strings_and_class_names(stored, pixels):
    images = read(stored(images=pixels(3, 4, 4), labels=np.array(["dog", "cat", "dog"])))
    assert images.class_names == ("cat", "dog")
    assert images.labels["class"].tolist() == [1, 0, 1]
    named = read(
        stored(images=pixels(1, 4, 4), labels=np.array([2]), class_names=np.array(["z", "y", "x"]))
    )
    assert named.class_names == ("z", "y", "x")
    assert named.labels["class"].tolist() == [2]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": np.full((2, 4, 4), 0.5)}, r"float64 in 0.5 … 0.5, expected uint8 in 0 … 255"),
        (
            {"images": np.linspace(-2.1, 2.6, 32).reshape(2, 4, 4)},
            "float64 in -2.1 … 2.6: these were normalised by mean and spread.*-1 … 1 itself",
        ),
        (
            {"images": np.linspace(-1, 1, 32).reshape(2, 4, 4)},
            "float64 in -1 … 1, expected uint8 in 0 … 255",
        ),
        ({"images": np.zeros((2, 4, 4), np.int64)}, "int64"),
        ({"images": np.zeros((2, 4, 4), bool)}, "bool"),
        (
            {"images": np.linspace(-0.42, 2.82, 32).reshape(2, 4, 4)},
            "normalised by mean and spread",
        ),
        (
            {"images": np.linspace(0, 16, 32).reshape(2, 4, 4)},
            "float64 in 0 … 16, expected uint8 in 0 … 255",
        ),
        ({"images": np.full((2, 4, 4), -2.0)}, "normalised by mean and spread"),
        ({"images": np.zeros((4, 4), np.uint8)}, r"shape \(4, 4\), expected \(N, H, W\)"),
        ({"images": np.zeros((2, 4, 4, 4), np.uint8)}, "1 or 3 channels"),
        ({"images": np.zeros((0, 4, 4), np.uint8)}, "is empty"),
        ({"pictures": np.zeros((2, 4, 4), np.uint8)}, "has the arrays pictures; expected images"),
        ({"images": np.array([{}, {}], object)}, "images cannot be read.*pickle"),
        ({"labels": np.zeros(3, int)}, r"shape \(3,\), expected 2 integers"),
        ({"labels": np.zeros(2)}, "float64"),
        ({"labels": np.array([{}, {}], object)}, "labels cannot be read.*pickle"),
        (
            {"labels": np.array([0, 2]), "class_names": np.array(["a", "b"])},
            "from 0 to 2, expected",
        ),
        ({"labels": np.array(["c", "a"]), "class_names": np.array(["a", "b"])}, "label 'c'"),
        ({"labels": np.array([0, 0]), "class_names": np.array(["a", "a"])}, "twice"),
        ({"labels": np.array([0, 0]), "class_names": np.array([1, 2])}, "list of strings"),
        ({"names": np.array(["a"])}, "1 names for 2 images"),
    ],
)
def test_arrays_that_do_not_fit(stored, arrays, words):
    whole = {} if "pictures" in arrays else {"images": np.zeros((2, 4, 4), np.uint8)}
    with pytest.raises(UserError, match=words):
        read(stored(**{**whole, **arrays}))


def test_damaged_files(tmp_path, stored, pixels):
    whole = Path(stored(images=pixels(20, 8, 8))).read_bytes()
    for broken in [b"", b"text", whole[: len(whole) // 2]]:
        (tmp_path / "broken.npz").write_bytes(broken)
        with pytest.raises(UserError, match=r"broken.npz cannot be read as .npz"):
            read(str(tmp_path / "broken.npz"))


def test_values_of_zero_and_one_are_suspicious(stored):
    images = read(stored(images=np.eye(4, dtype=np.uint8)[None]))
    assert "largest pixel value is 1" in images.notes[0]
