"""`marmor probe`: what a few labels add to embeddings."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from marmor.cli import main
from marmor.data import ImageSet, write_splits
from marmor.recipes import probing
from marmor.recipes.probing import Labelled, apart, choose, fit, shots

NAMES = ("reddish", "greenish", "bluish")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARMOR_CACHE", str(tmp_path / "cache"))


def _colours(count: int, seed: int) -> ImageSet:
    """Noise with one channel a little brighter."""
    stream = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    images = torch.randint(0, 200, (count, 3, 16, 16), generator=stream, dtype=torch.uint8)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[label] += 50
    return ImageSet(images, {"class": labels}, {"class": NAMES})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "colours.npz"
    write_splits({"train": _colours(45, 0), "test": _colours(60, 1)}, path)
    return path


def test_labels_add_to_words(tiny_clip: Path, data: Path, tmp_path: Path, capsys) -> None:
    labels, out = tmp_path / "names.json", tmp_path / "out"
    labels.write_text(json.dumps(NAMES))
    words = ["probe", "--model", str(tiny_clip), "--images", str(data), "--labels", str(labels)]
    main(
        [
            *words,
            "--templates",
            "plain",
            "--shots",
            "1",
            "4",
            "16",
            "--seeds",
            "3",
            "--out",
            str(out),
        ]
    )
    found = json.loads((out / "summary.json").read_text())
    assert found["linear.top1.low"] > 0.6
    assert found["few.1.top1"] < found["linear.top1"]
    assert found["few.4.top1.low"] < found["few.4.top1"] < found["few.4.top1.high"]
    assert found["words.top1"] < found["linear.top1.low"]
    assert "few.16.top1" not in found
    assert "16 a class were left out: the smallest class has 15 images." in found["notes"]
    assert (found["train.images"], found["images"]) == (45, 60)
    assert "words alone" in (out / "table.csv").read_text()
    assert (out / "report.html").is_file()


def _embedded(count: int, noise: float) -> Labelled:
    stream = torch.Generator().manual_seed(count)
    classes = torch.arange(count) % 4
    points = torch.eye(4)[classes] + noise * torch.randn(count, 4, generator=stream)
    return Labelled(torch.nn.functional.normalize(points, dim=1), classes)


def test_the_parts_share_nothing_and_hold_every_class() -> None:
    every = _embedded(40, 0.3)
    for learn, held in (apart(every, 0.2, 0), shots(every, 3, 0)):
        both = torch.cat([learn.embeddings, held.embeddings])
        assert len(both.unique(dim=0)) == len(both)
        assert learn.classes.unique().tolist() == held.classes.unique().tolist() == [0, 1, 2, 3]
    assert len(held.classes) == len(learn.classes) == 12
    assert len(shots(every, 6, 0)[1].classes) == 16
    assert not torch.equal(shots(every, 3, 0)[0].embeddings, shots(every, 3, 1)[0].embeddings)


def test_regularisation_is_chosen_where_noise_needs_it() -> None:
    # Random labels on many dimensions: whatever fits them misleads, so that all do as well as chance; of
    # equals the strongest is taken, and where there is a signal the fit is right.
    clean, held = _embedded(80, 0.1), _embedded(84, 0.1)
    strength = choose(clean, held)
    assert np.mean((fit(clean, strength, held.embeddings) == held.classes).numpy()) == 1
    assert strength == 0.1
    # A rare class close beside a common one: the strongest regularisation never names it.
    rare, close = _rare(80), _rare(40)
    strength = choose(rare, close)
    assert strength > 0.1
    assert torch.equal(fit(rare, strength, close.embeddings), close.classes)
    assert not fit(rare, 0.1, close.embeddings).any()


def _rare(count: int) -> Labelled:
    """Every tenth picture is of the second class, a little aside."""
    classes = (torch.arange(count) % 10 == 0).long()
    points = torch.stack([torch.ones(count), 0.2 * classes], dim=1)
    return Labelled(torch.nn.functional.normalize(points, dim=1), classes)


def _fails(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["probe", *map(str, words)])
    assert ended.value.code == 2
    return " ".join("".join(capsys.readouterr()).split())


def test_wrong_words(tiny_clip: Path, data: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    given = ("--model", tiny_clip, "--out", out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probing.TextImage, "embed_images", lambda *asked: pytest.fail("embedded"))
        told = _fails(capsys, *given[:2], "--out", data, "--images", data)
    assert "cannot be a folder" in told
    one = tmp_path / "one.npz"
    write_splits({"train": _colours(4, 0), "test": _colours(60, 1)}, one)
    assert "is one image of greenish" in _fails(capsys, *given, "--images", one)
    alone = tmp_path / "alone.npz"
    write_splits({"train": _colours(9, 0)}, alone)
    assert "no test split" in _fails(capsys, *given, "--images", alone)
    plain = tmp_path / "plain.npz"
    write_splits({"train": _colours(9, 0).unlabelled(), "test": _colours(9, 1).unlabelled()}, plain)
    assert "no labels" in _fails(capsys, *given, "--images", plain)
    assert "--seeds at least 2" in _fails(capsys, *given, "--images", data, "--seeds", "1")
    assert not out.exists()
