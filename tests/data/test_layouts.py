import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from marmor.base.errors import UserError
from marmor.data import read
from marmor.data.readers import archive


def classes_of(images) -> list[str]:
    return [images.class_names[k] for k in images.labels["class"].tolist()]


def zipped(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as file:
        for member in sorted(folder.rglob("*")):
            if member.is_file():
                file.write(member, member.relative_to(folder).as_posix())
    return path


def write_csv(path: Path, *lines: str) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def course(tmp_path, save) -> Path:
    for n in range(1, 5):
        save(tmp_path / "set" / "data" / f"{n}.png", seed=n)
    write_csv(tmp_path / "set" / "train.csv", "image_name,label", "2.png,10", "1.png,9")
    write_csv(tmp_path / "set" / "test.csv", "image_name,label", "3.png,2")
    return tmp_path / "set"


@pytest.mark.parametrize("pack", [lambda folder: folder, zipped], ids=["folder", "zip"])
def test_class_folders(tmp_path, save, pixels, pack):
    for n, name in enumerate(["b/10.png", "b/2.png", "a/x.png"]):
        save(tmp_path / "set" / name, seed=n)
    (tmp_path / "set" / "notes.txt").write_text("not an image")
    images = read(str(pack(tmp_path / "set")))
    assert images.names == ("a/x.png", "b/2.png", "b/10.png")
    assert images.class_names == ("a", "b")
    assert classes_of(images) == ["a", "b", "b"]
    assert (images.images[1, 0].numpy() == pixels(6, 6, seed=1)).all()
    assert images.notes == ()


@pytest.mark.parametrize("pack", [lambda folder: folder, zipped], ids=["folder", "zip"])
def test_flat_names_with_integer_classes_in_numeric_order(tmp_path, save, pack):
    for name in ["10_1.png", "2_10.png", "2_9.png"]:
        save(tmp_path / "set" / name)
    images = read(str(pack(tmp_path / "set")))
    assert images.names == ("2_9.png", "2_10.png", "10_1.png")
    assert images.class_names == ("2", "10")
    assert classes_of(images) == ["2", "2", "10"]


def test_flat_names_may_contain_underscores(tmp_path, save):
    for name in ["sea_lion_1.jpg", "cat_7.jpg"]:
        save(tmp_path / name, 8, 8, 3)
    assert read(str(tmp_path)).class_names == ("cat", "sea_lion")


@pytest.mark.parametrize(
    ("names", "note"),
    [
        (["1.png", "2.png"], None),
        (["IMG_1.png", "IMG_2.png"], "'IMG'"),
        (["cat_1.png", "dog_1.png", "cover.png"], "cover.png is not named"),
    ],
)
def test_flat_folder_without_labels(tmp_path, save, names, note):
    for name in names:
        save(tmp_path / name)
    images = read(str(tmp_path))
    assert images.labels == {}
    assert len(images) == len(names)
    assert [note in told for told in images.notes] == ([] if note is None else [True])
    assert images.unlabelled().notes == (), "of images alone nobody asks for labels"
    assert replace(images, notes=(*images.notes, "n")).unlabelled().notes == ("n",)


def test_split_folders_share_class_names(tmp_path, save):
    for name in ["train/a/1.png", "train/b/1.png", "test/b/1.png", "test/b/2.png"]:
        save(tmp_path / name)
    test = read(str(tmp_path), "test")
    assert test.class_names == ("a", "b")
    assert classes_of(test) == ["b", "b"]
    with pytest.raises(UserError, match="no 'val' split; it has train, test"):
        read(str(tmp_path), "val")


def test_one_folder_around_a_whole_set_is_looked_through(tmp_path, save):
    for name in ["set/data/cat/1.png", "set/data/dog/1.png", "set/readme.txt"]:
        save(tmp_path / "cats" / name) if name.endswith("png") else None
    (tmp_path / "cats" / "readme.txt").write_text("x")
    assert read(str(zipped(tmp_path / "cats"))).class_names == ("cat", "dog")


def test_a_single_class_folder_is_a_class(tmp_path, save):
    save(tmp_path / "cat" / "1.png")
    assert read(str(tmp_path)).class_names == ("cat",)


def test_hidden_files_are_no_images(tmp_path, save):
    for name in ["a/1.png", "b/1.png", ".cache/1.png", "a/.x.png", "__MACOSX/a/1.png"]:
        save(tmp_path / "set" / name)
    assert read(str(zipped(tmp_path / "set"))).names == ("a/1.png", "b/1.png")
    assert read(str(tmp_path / "set")).names == ("a/1.png", "b/1.png")


def test_a_link_to_a_parent_folder_is_not_followed_without_end(tmp_path, save):
    save(tmp_path / "a" / "1.png")
    save(tmp_path / "b" / "1.png")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    assert len(read(str(tmp_path))) == 2


def test_a_source_without_splits_serves_all_with_a_note(tmp_path, save):
    save(tmp_path / "1.png")
    assert read(str(tmp_path)).notes == ()
    assert "serves as 'test'" in read(str(tmp_path), "test").notes[0]


@pytest.mark.parametrize("pack", [lambda folder: folder, zipped], ids=["folder", "zip"])
def test_course_layout(course, pack):
    place = str(pack(course))
    train, test = read(place), read(place, "test")
    assert train.class_names == test.class_names == ("2", "9", "10")
    assert train.names == ("1.png", "2.png")
    assert classes_of(train) == ["9", "10"]
    assert classes_of(test) == ["2"]
    assert train.notes == ("1 images are in no CSV and were left out, e.g. 4.png.",)
    with pytest.raises(UserError, match=r"no 'val' split; it has train \(train.csv\), test"):
        read(place, "val")


def test_course_layout_with_data_in_the_parent_folder(course):
    labels = course / "labels"
    labels.mkdir()
    (course / "train.csv").rename(labels / "train.csv")
    assert classes_of(read(str(labels))) == ["9", "10"]


def test_course_layout_without_label_column_is_unlabelled(course):
    write_csv(course / "test.csv", "image_name", "4.png")
    images = read(str(course), "test")
    assert (images.labels, images.names) == ({}, ("4.png",))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            ["file,class", "1.png,3"],
            "begins with 'file,class', expected the header image_name,label",
        ),
        (["image_name,label", "9.png,3"], "names 9.png, which is not in"),
        (["image_name,label", "../secret.png,3"], "points outside its folder"),
        (["image_name,label", "1.png"], r"line 2 is '1.png', expected image_name,label"),
        (["image_name,label", "1.png,"], "line 2"),
        (["image_name,label", "1.png,3", "1.png,4"], "line 3 lists 1.png a second time"),
        (["image_name,label"], "lists no images"),
        (["image_name,label", "note.txt,3"], "no image file"),
    ],
)
def test_csv_that_does_not_fit(course, lines, words):
    (course / "data" / "note.txt").write_text("x")
    write_csv(course / "train.csv", *lines)
    with pytest.raises(UserError, match=words):
        read(str(course))


def test_csv_that_is_no_text(course):
    (course / "train.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="no CSV text"):
        read(str(course))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ('{"a": 1}', "not a list of class names"),
        ('["9", "9"]', "names a class twice"),
        ('["9", "2"]', "label '10', which is not among"),
    ],
)
def test_classes_file_that_does_not_fit(course, content, words):
    (course / "classes.json").write_text(content)
    with pytest.raises(UserError, match=words):
        read(str(course))


def test_what_cannot_be_read_is_told(tmp_path, save):
    with pytest.raises(UserError, match="digit does not exist: did you mean 'digits'"):
        read("digit")
    with pytest.raises(UserError, match="holds no images"):
        read(str(tmp_path))
    (tmp_path / "x.parquet").write_bytes(b"x")
    with pytest.raises(UserError, match="unknown kind"):
        read(str(tmp_path / "x.parquet"))
    with pytest.raises(UserError, match="one image, expected a set"):
        read(str(save(tmp_path / "one.png")))
    with pytest.raises(UserError, match=r"unknown split 'tset': did you mean 'test'"):
        read("digits", "tset")
    with pytest.raises(UserError, match="size is 0"):
        read("digits", size=0)


def test_a_file_without_permission_is_told(tmp_path, save, monkeypatch):
    save(tmp_path / "1.png")

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UserError, match=r"1.png cannot be read: Permission denied"):
        read(str(tmp_path))


def test_a_folder_without_permission_is_told(tmp_path, save, monkeypatch):
    for place in ("open", "closed"):
        save(tmp_path / "set" / place / "1.png")
    listed = os.scandir

    def scan(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scan)
    with pytest.raises(UserError, match=r"folder .*closed cannot be listed: Permission denied"):
        read(str(tmp_path / "set"))


def test_images_beside_and_inside_folders_are_refused(tmp_path, save):
    save(tmp_path / "1.png")
    save(tmp_path / "a" / "2.png")
    with pytest.raises(UserError, match=r"both directly \(1.png\) and in sub-folders \(a/2.png\)"):
        read(str(tmp_path))


def test_mixed_sizes_need_a_size(tmp_path, save):
    save(tmp_path / "1.png", 6, 8)
    save(tmp_path / "2.png", 6, 8)
    save(tmp_path / "3.png", 9, 7)
    with pytest.raises(UserError, match=r"1.png is 8×6 and 3.png is 7×9; pass --size N"):
        read(str(tmp_path))
    images = read(str(tmp_path), size=5)
    assert images.size == (5, 5)
    assert images.notes == ("Centre-cropped to squares and resized from 2 different sizes to 5×5.",)


def test_size_applies_to_uniform_sets_and_equals_resized(tmp_path, save):
    for n in range(3):
        save(tmp_path / f"{n}.png", 8, 12, 3, seed=n)
    resized = read(str(tmp_path), size=5)
    assert resized.fingerprint() == read(str(tmp_path)).resized(5).fingerprint()
    assert resized.notes == read(str(tmp_path)).resized(5).notes
    assert read("digits", "test", size=14).size == (14, 14)


def test_grey_and_colour_together_become_colour(tmp_path, save):
    save(tmp_path / "1.png", 6, 6)
    save(tmp_path / "2.png", 6, 6, 3)
    images = read(str(tmp_path))
    assert images.channels == 3
    assert (images.images[0, 0] == images.images[0, 2]).all()
    assert images.notes == ("1 of 2 images are grey and were widened to colour.",)


def test_truncated_zip(tmp_path, save):
    save(tmp_path / "set" / "1.png", 64, 64)
    whole = zipped(tmp_path / "set").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"cut.zip cannot be read from its zip archive"):
        read(str(tmp_path / "cut.zip"))


def test_zip_with_a_damaged_member(tmp_path, save):
    save(tmp_path / "set" / "1.png", 64, 64)
    content = bytearray(zipped(tmp_path / "set").read_bytes())
    content[200:300] = bytes(100)
    (tmp_path / "bad.zip").write_bytes(content)
    with pytest.raises(UserError, match=r"bad.zip/1.png cannot be read"):
        read(str(tmp_path / "bad.zip"))


@pytest.mark.parametrize("name", ["../1.png", "/etc/1.png", "a/../../1.png", "a\\1.png", "C:1.png"])
def test_zip_members_that_point_outside(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        info = zipfile.ZipInfo("1.png")
        info.filename = name
        file.writestr(info, b"x")
    with pytest.raises(UserError, match="points outside the archive"):
        read(str(tmp_path / "x.zip"))


def test_zip_that_decompresses_to_too_much(tmp_path, save, monkeypatch):
    save(tmp_path / "set" / "1.png")
    monkeypatch.setattr(archive, "LARGEST", 10)
    with pytest.raises(UserError, match="more than the"):
        read(str(zipped(tmp_path / "set")))
    np.savez(tmp_path / "x.npz", images=np.zeros((1, 4, 4), np.uint8))
    with pytest.raises(UserError, match="more than the"):
        read(str(tmp_path / "x.npz"))


def test_images_are_read_in_colour_from_jpeg(tmp_path):
    Image.new("RGB", (8, 8), (200, 10, 10)).save(tmp_path / "1.jpg", quality=95)
    red = read(str(tmp_path)).images[0].float().mean((1, 2))
    assert red[0] > 190
    assert red[1] < 20
