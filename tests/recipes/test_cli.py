"""The command: help with examples, one sentence and status 2 for wrong input."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from marmor.cli import COMMANDS, main
from marmor.data import ImageSet, read, write_splits


def fails(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    output = "".join(capsys.readouterr())
    assert "Traceback" not in output
    return " ".join(output.split())


def test_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    output = capsys.readouterr().out
    for group, commands in COMMANDS.items():
        assert group in output
        assert all(name in output for name in commands)


@pytest.mark.parametrize("name", [name for group in COMMANDS.values() for name in group])
def test_every_command_has_help_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*name.split(), "--help"])
    assert ended.value.code == 0
    assert f"Example: marmor {name}" in capsys.readouterr().out


def test_unknown_words_name_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'sample'?" in fails(capsys, "sampel")
    assert "did you mean 'digits'?" in fails(capsys, "train", "digit")
    out = fails(capsys, "sample", "pretrained:didgits", "--out", "x")
    assert "unknown shipped weights" in out


def save(folder: Path, name: str, value: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(folder / name)


def bad_data(kind: str, tmp_path: Path) -> Path:
    """Makes one kind of bad data and returns its place."""
    folder = tmp_path / "data"
    folder.mkdir()
    if kind == "corrupt":
        save(folder, "0_1.png")
        (folder / "1_1.png").write_bytes(b"not a picture")
    elif kind == "one class":
        for number in range(3):
            save(folder / "cats", f"{number}.png", number)
    elif kind == "csv":
        save(folder / "data", "a.png")
        (folder / "train.csv").write_text("image_name,label\na.png,0\nmissing.png,1\n")
    elif kind in ("npz shape", "npz range"):
        shape = (4, 8, 8, 3) if kind == "npz range" else (4, 8)
        images = np.zeros(shape, np.float32 if kind == "npz range" else np.uint8)
        np.savez(folder / "x.npz", images=images, labels=np.arange(4) % 2)
        return folder / "x.npz"
    return folder


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("empty", "no images|empty"),
        ("corrupt", "1_1.png"),
        ("one class", "only"),
        ("csv", "missing.png"),
        ("npz shape", "shape"),
        ("npz range", "uint8"),
    ],
)
def test_bad_data_is_one_sentence_and_nothing_is_written(
    kind: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = bad_data(kind, tmp_path)
    out = fails(
        capsys, "train", "digits", "--data", str(data), "--run", str(tmp_path / "r"), "--steps", "1"
    )
    assert any(word in out for word in words.split("|")), out
    assert not (tmp_path / "r").exists()


def test_wrong_runs_and_checkpoints(
    run: Path, judge_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("--out", str(tmp_path / "out"))
    assert "'judge', not of 'digits'" in fails(capsys, "sample", str(judge_run), *out)
    assert "does not exist" in fails(capsys, "sample", str(tmp_path / "none"), *out)
    assert "unknown solver" in fails(capsys, "sample", str(run), *out, "--solver", "ddimm")
    cut = tmp_path / "cut.pt"
    cut.write_bytes(b"PK\x03\x04 cut short")
    assert "cut.pt" in fails(capsys, "sample", str(cut), *out)
    assert not (tmp_path / "out").exists()


def test_two_budgets_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ("train", "digits", "--run", str(tmp_path / "r"), "--steps", "1", "--minutes", "1")
    assert "one unit" in fails(capsys, *words)
    assert not (tmp_path / "r").exists()


def test_sample_score_grid_strip_on_a_run(
    run: Path, judge_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples, scores = tmp_path / "samples", tmp_path / "scores"
    main(["sample", str(run), "--out", str(samples), "--per-class", "4", "--classes", "left,right"])
    assert len(list(samples.glob("*.png"))) == 8
    main(["score", str(samples), "--judge", str(judge_run), "--out", str(scores)])
    assert {path.name for path in scores.iterdir()} == {"summary.json", "confusion.png"}
    # One class alone is none by itself, IMG_1.png; the judge knows it.
    main(["sample", str(run), "--out", str(tmp_path / "one"), "--count", "4", "--classes", "right"])
    main(["score", str(tmp_path / "one"), "--judge", str(judge_run), "--out", str(scores)])
    told = json.loads((scores / "summary.json").read_text())
    assert told["judge.images"] == 4
    main(["grid", str(run), "--columns", "3", "--out", str(tmp_path / "grid.png")])
    strip = tmp_path / "strip.png"
    main(["strip", str(run), "--class", "left", "--frames", "6", "--out", str(strip)])
    with Image.open(strip) as picture:
        assert picture.width > 6 * 16 * 4
    capsys.readouterr()


def test_cropped_images_score_as_they_did_before_they_were_padded(
    data: Path, judge_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = read(str(data), "test")
    padded = replace(images, images=functional.pad(images.images, (3, 3, 3, 3), value=200))
    source = read(str(data), "train")
    wide = replace(source, images=functional.pad(source.images, (3, 3, 3, 3), value=200))
    write_splits({"train": wide, "test": padded}, tmp_path / "padded.npz")
    scores = {}
    for spec, crop in ((data, []), (tmp_path / "padded.npz", ["--crop", "16"])):
        words = ["score", str(spec), "--judge", str(judge_run), "--real", str(spec), *crop]
        main([*words, "--out", str(tmp_path / spec.stem)])
        scores[spec.stem] = json.loads((tmp_path / spec.stem / "summary.json").read_text())
    assert scores["padded"].pop("crop") == 16
    assert scores["padded"] == scores["blobs"]
    large = ("score", str(data), "--judge", str(judge_run), "--crop", "17")
    assert "17×17 pixels cannot be cut" in fails(capsys, *large)


def test_held_out_digits_are_left_out_of_what_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 255, (8, 1, 12, 12), generator=stream, dtype=torch.uint8)
    everything = ImageSet(pixels, {"class": torch.arange(8) % 2}, {"class": ("0", "1")})
    write_splits({"train": everything, "test": everything.take([2, 7])}, tmp_path / "all.npz")
    held = {"train": everything.take([0, 1]), "test": everything.take([2, 5])}
    write_splits(held, tmp_path / "held.npz")
    made = tmp_path / "made.npz"
    words = ["data", "make", "mnist-m", "--digits", str(tmp_path / "all.npz"), "--out", str(made)]
    main([*words, "--without", str(tmp_path / "held.npz")])
    assert read(str(made), "train").labels["class"].tolist() == [0, 1, 1, 0, 0, 1]
    assert len(read(str(made), "test")) == 2
    capsys.readouterr()


def test_report_of_a_run(run: Path, judge_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["report", str(run), "--judge", str(judge_run), "--per-class", "10"])
    figures = json.loads((run / "summary.json").read_text())
    expected = {"judge.accuracy", "judge.accuracy.low", "frechet.judge", "frechet.floor"}
    expected |= {"train.images_per_second", "train.minutes", "sample.seconds", "sample.calls"}
    assert expected <= figures.keys()
    assert 0 <= figures["judge.accuracy.low"] <= figures["judge.accuracy"] <= 1
    page = (run / "report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert page.count("data:image/png;base64,") >= 6
    capsys.readouterr()


def test_more_wrong_words(
    run: Path, judge_run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    assert "unknown recipe 'digts'" in fails(capsys, "train", "digts")
    assert "at least 1" in fails(capsys, "grid", str(run), "--columns", "0", "--out", out)
    assert "at least 1" in fails(capsys, "sample", str(run), "--per-class", "0", "--out", out)
    assert "finite" in fails(capsys, "sample", str(run), "--guidance", "nan", "--out", out)
    assert "--frames" in fails(capsys, "strip", str(run), "--class", "left", "--frames", "99")
    assert "[/odd]" in fails(capsys, "resume", "runs/[/odd]")
    train = ("train", "digits", "--data", str(data), "--run", out)
    assert "above 0" in fails(capsys, *train, "--minutes", "nan")
    assert "--batch" in fails(capsys, *train, "--steps", "1", "--batch", "-5")
    assert "does not exist" in fails(capsys, *train, "--steps", "1", "--judge", "nowhere")
    digits = "pretrained:digit-judge"
    assert "does not know" in fails(capsys, *train, "--steps", "1", "--judge", digits)
    assert "unknown network" in fails(capsys, *train, "--steps", "1", "--network", "uvitt")
    (tmp_path / "file").write_text("")
    assert "empty folder" in fails(capsys, "export", str(run), "--out", str(tmp_path / "file"))
    assert not (tmp_path / "out").exists()


def test_class_names_cannot_lead_out_of_the_folder(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(run, tmp_path / "run")
    config = tmp_path / "run" / "config.json"
    config.write_text(config.read_text().replace('"left"', '"../left"'))
    words = ("sample", str(tmp_path / "run"), "--out", str(tmp_path / "out"), "--per-class", "1")
    assert "outside" in fails(capsys, *words)
    assert not list(tmp_path.glob("left*"))
