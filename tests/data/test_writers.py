from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from marmor.base.errors import UserError
from marmor.data import read, write, write_splits


@pytest.mark.parametrize("out", ["x.npz", "x"])
@pytest.mark.parametrize("channels", [1, 3])
def test_round_trip(tmp_path, labelled, out, channels):
    images = labelled(7, 3, 2, channels=channels)
    images = replace(images, vocabulary={"class": ("zebra", "ant", "10")})
    write(images, tmp_path / out)
    back = read(str(tmp_path / out))
    assert torch.equal(back.images, images.images)
    assert torch.equal(back.labels["class"], images.labels["class"])
    assert back.class_names == images.class_names
    assert back.fingerprint() == images.fingerprint()
    assert back.notes == ()


@pytest.mark.parametrize("out", ["x.npz", "x"])
def test_round_trip_without_labels_or_with_a_class_nobody_shows(tmp_path, labelled, out):
    bare = labelled(3, 3).unlabelled()
    write(bare, tmp_path / "bare" / out)
    assert read(str(tmp_path / "bare" / out)).fingerprint() == bare.fingerprint()
    partial = labelled(3, 0, 2)
    write(partial, tmp_path / "partial" / out)
    assert read(str(tmp_path / "partial" / out)).fingerprint() == partial.fingerprint()


@pytest.mark.parametrize("out", ["x.npz", "x"])
def test_splits_round_trip(tmp_path, labelled, out):
    parts = {"train": labelled(6, 6), "test": labelled(2, 1, seed=9)}
    write_splits(parts, tmp_path / out)
    for split, part in parts.items():
        assert read(str(tmp_path / out), split).fingerprint() == part.fingerprint()


def test_npz_layout_and_names(tmp_path, labelled):
    images = replace(labelled(1, 1, channels=3), names=("a.png", "b.png"))
    write(images, tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz", allow_pickle=False) as arrays:
        assert arrays["images"].shape == (2, 6, 6, 3)
        assert set(arrays.files) == {"images", "labels", "class_names", "names"}
    assert read(str(tmp_path / "x.npz")).names == ("a.png", "b.png")


def test_course_layout(tmp_path, labelled):
    write_splits({"train": labelled(2, 1), "test": labelled(0, 1)}, tmp_path / "x")
    lines = (tmp_path / "x" / "train.csv").read_text().split()
    assert lines[0] == "image_name,label"
    assert lines[1].startswith("000001.png,")
    assert (tmp_path / "x" / "test.csv").read_text().split()[1] == "000004.png,1"
    assert sorted(path.name for path in (tmp_path / "x" / "data").iterdir())[-1] == "000004.png"
    assert Image.open(tmp_path / "x" / "data" / "000001.png").mode == "L"


def test_an_npz_is_replaced_and_an_empty_folder_used(tmp_path, labelled):
    (tmp_path / "x").mkdir()
    for out in (tmp_path / "x.npz", tmp_path / "x.npz", tmp_path / "x"):
        write(labelled(1, 1), out)
    assert len(read(str(tmp_path / "x"))) == 2


def test_what_is_refused(tmp_path, labelled):
    images = labelled(1, 1)
    write(images, tmp_path / "full")
    with pytest.raises(UserError, match="not an empty folder"):
        write(images, tmp_path / "full")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="not an empty folder"):
        write(images, tmp_path / "file")
    with pytest.raises(UserError, match=r"as .npz or as a folder"):
        write(images, tmp_path / "x.zip")
    with pytest.raises(UserError, match="no images to write"):
        write(images.take([]), tmp_path / "empty")
    with pytest.raises(UserError, match="unknown split 'tset'"):
        write_splits({"tset": images}, tmp_path / "x")
    with pytest.raises(UserError, match="different class names"):
        write_splits({"train": images, "test": labelled(1, 1, 1)}, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_failed_write_leaves_nothing(tmp_path, labelled, monkeypatch):
    def fail(self, *args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(UserError, match=r"cannot write .*No space left"):
        write(labelled(1, 1), tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told(tmp_path, labelled):
    (tmp_path / "file").write_text("x")
    for out in ("x", "x.npz"):
        with pytest.raises(UserError, match="cannot write"):
            write(labelled(1, 1), Path(tmp_path / "file" / out))
