import bz2
import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from marmor.base.errors import UserError
from marmor.data import read

DIGITS = tuple("0123456789")


def write_idx(folder: Path, word: str, images: np.ndarray, labels: list[int], pack: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        f"{word}-images-idx3-ubyte": struct.pack(">4i", 0x803, *images.shape) + images.tobytes(),
        f"{word}-labels-idx1-ubyte": struct.pack(">2i", 0x801, len(labels)) + bytes(labels),
    }
    for name, content in contents.items():
        path = folder / (name + ".gz" if pack else name)
        path.write_bytes(gzip.compress(content) if pack else content)


def write_svhn(path: Path, images: np.ndarray, labels: list[int]) -> None:
    columns = np.array(labels, np.uint8)[:, None]
    scipy.io.savemat(path, {"X": images.transpose(1, 2, 3, 0), "y": columns})


def usps_lines(images: np.ndarray, labels: list[int]) -> bytes:
    lines = [
        f"{label} " + " ".join(f"{i + 1}:{value:.6f}" for i, value in enumerate(image.ravel()))
        for label, image in zip(labels, images, strict=True)
    ]
    return bz2.compress("\n".join(lines).encode())


@pytest.mark.parametrize("pack", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("below", ["", "MNIST/raw"])
def test_mnist(tmp_path, pixels, pack, below):
    write_idx(tmp_path / below, "train", pixels(3, 6, 6, seed=1), [5, 0, 9], pack)
    write_idx(tmp_path / below, "t10k", pixels(2, 6, 6, seed=2), [1, 2], pack)
    test = read(str(tmp_path), "test")
    assert (test.images[:, 0].numpy() == pixels(2, 6, 6, seed=2)).all()
    assert test.class_names == DIGITS
    assert read(str(tmp_path)).labels["class"].tolist() == [5, 0, 9]
    with pytest.raises(UserError, match="no 'extra' split; it has train, test"):
        read(str(tmp_path), "extra")


def test_a_file_named_directly_is_read(tmp_path, pixels):
    write_idx(tmp_path, "t10k", pixels(2, 6, 6), [1, 2], pack=False)
    assert len(read(str(tmp_path / "t10k-images-idx3-ubyte"))) == 2


def test_damaged_idx(tmp_path, pixels):
    write_idx(tmp_path, "train", pixels(3, 6, 6), [5, 0, 9], pack=True)
    images = tmp_path / "train-images-idx3-ubyte.gz"
    whole = images.read_bytes()
    for broken in [whole[:40], b"", gzip.compress(gzip.decompress(whole)[:50])]:
        images.write_bytes(broken)
        with pytest.raises(UserError, match=r"train-images-idx3-ubyte.gz cannot be read as MNIST"):
            read(str(tmp_path))


def test_idx_labels_missing_too_few_or_no_digits(tmp_path, pixels):
    write_idx(tmp_path, "train", pixels(3, 6, 6), [5, 0], pack=False)
    with pytest.raises(UserError, match="3 images and 2 labels"):
        read(str(tmp_path))
    write_idx(tmp_path, "train", pixels(2, 6, 6), [5, 26], pack=False)
    with pytest.raises(UserError, match="expected the digits 0 to 9"):
        read(str(tmp_path))
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match="has no train-labels-idx1-ubyte"):
        read(str(tmp_path))


def test_svhn_label_ten_is_zero(tmp_path, pixels):
    write_svhn(tmp_path / "train_32x32.mat", pixels(3, 32, 32, 3), [10, 1, 9])
    write_svhn(tmp_path / "test_32x32.mat", pixels(1, 32, 32, 3), [4])
    train = read(str(tmp_path))
    assert train.labels["class"].tolist() == [0, 1, 9]
    assert train.class_names == DIGITS
    assert (train.images.numpy() == pixels(3, 32, 32, 3).transpose(0, 3, 1, 2)).all()
    assert read(str(tmp_path / "test_32x32.mat")).labels["class"].tolist() == [4]


def test_damaged_svhn(tmp_path):
    (tmp_path / "train_32x32.mat").write_bytes(b"no matlab")
    with pytest.raises(UserError, match="cannot be read as SVHN"):
        read(str(tmp_path))
    scipy.io.savemat(tmp_path / "train_32x32.mat", {"Z": np.zeros(3)})
    with pytest.raises(UserError, match="cannot be read as SVHN"):
        read(str(tmp_path))


def test_usps(tmp_path):
    values = np.linspace(-1, 1, 2 * 256, dtype=np.float32).reshape(2, 16, 16)
    (tmp_path / "usps.bz2").write_bytes(usps_lines(values, [1, 10]))
    (tmp_path / "usps.t.bz2").write_bytes(usps_lines(values[:1], [3]))
    train = read(str(tmp_path))
    assert train.labels["class"].tolist() == [0, 9]
    assert train.images.shape == (2, 1, 16, 16)
    assert (train.images.min(), train.images.max()) == (0, 255)
    assert len(read(str(tmp_path), "test")) == 1
    assert len(read(str(tmp_path / "usps.t.bz2"))) == 1


def test_damaged_usps(tmp_path):
    for broken in [b"no bz2", bz2.compress(b"1 1:0.5\n"), bz2.compress(b"")]:
        (tmp_path / "usps.bz2").write_bytes(broken)
        with pytest.raises(UserError, match=r"usps.bz2"):
            read(str(tmp_path))
