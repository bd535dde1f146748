"""`marmor predict`: a CSV of what a trained classifier reads."""

import csv
from pathlib import Path

import pytest
from PIL import Image

from marmor.cli import main
from marmor.data import read, write_splits


def predicted(*words: str | Path) -> list[dict[str, str]]:
    main(["predict", *map(str, words)])
    with Path(words[words.index("--out") + 1]).open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def folder(data, tmp_path):
    """The course layout, without test.csv."""
    parts = {"train": read(str(data), "train"), "val": read(str(data), "test").unlabelled()}
    write_splits(parts, tmp_path / "course")
    return tmp_path / "course"


def test_every_image_in_order_with_probabilities(judge_run, data, tmp_path):
    rows = predicted(judge_run, data, "--out", tmp_path / "p.csv", "--probabilities")
    assert [row["image_name"] for row in rows] == [f"{number:06d}" for number in range(60)]
    for row in rows:
        shares = {name: float(row[name]) for name in ("left", "middle", "right")}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-4)
        assert shares[row["label"]] == max(shares.values())
    truth = [("left", "middle", "right")[k % 3] for k in range(60)]
    assert [row["label"] for row in rows] == truth


def test_the_order_and_the_names_of_a_list_are_kept(judge_run, data, tmp_path):
    every = predicted(judge_run, data, "--out", tmp_path / "p.csv")
    like = tmp_path / "like.csv"
    like.write_text("image_name,label\n000005,\n000002,\n000005,\n")
    rows = predicted(judge_run, data, "--out", tmp_path / "p.csv", "--like", like)
    assert rows == [every[k] for k in (5, 2, 5)]


def test_images_below_folders_are_found_by_the_names_that_are_asked_for(judge_run, data, tmp_path):
    pictures = tmp_path / "pictures"
    for name in ("left", "right"):
        (pictures / name).mkdir(parents=True)
    first, _, third = read(str(data), "test").images[:3].permute(0, 2, 3, 1).numpy()
    Image.fromarray(first).save(pictures / "left" / "1.png")
    Image.fromarray(third).save(pictures / "right" / "2.png")
    like = tmp_path / "like.csv"
    like.write_text("image_name\n2.png\nleft/1.png\n")
    rows = predicted(judge_run, pictures, "--out", tmp_path / "p.csv", "--like", like)
    assert [(row["image_name"], row["label"]) for row in rows] == [
        ("2.png", "right"),
        ("left/1.png", "left"),
    ]


def test_any_split_of_a_course_folder(judge_run, folder, tmp_path, capsys):
    out = tmp_path / "p.csv"
    words = [judge_run, folder, "--out", out, "--like", folder / "val.csv"]
    rows = predicted(*words, "--split", "val")
    assert [row["image_name"] for row in rows] == [
        f"{number:06d}.png" for number in range(121, 181)
    ]
    with pytest.raises(SystemExit, match="2"):
        predicted(*words)
    assert "has no 'test' split" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        predicted(*words, "--split", "train")
    assert "000121.png, which is not among the 120 images" in capsys.readouterr().err


def test_what_cannot_be_is_one_sentence(judge_run, data, tmp_path, capsys):
    like = tmp_path / "like.csv"
    for content, said in (
        ("image_name,label\nnone.png,\n", "none.png, which is not among the 60 images"),
        ("name,label\n000001,\n", "should begin with the header image_name,label"),
        ("image_name,foo\n000001,\n", "should begin with the header image_name,label"),
    ):
        like.write_text(content)
        with pytest.raises(SystemExit, match="2"):
            predicted(judge_run, data, "--out", tmp_path / "p.csv", "--like", like)
        assert said in capsys.readouterr().err
        assert not (tmp_path / "p.csv").exists()
