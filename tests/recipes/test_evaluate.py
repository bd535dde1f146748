"""`marmor evaluate` and `marmor compare`: from folders to figures, and what people give them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from marmor.cli import main
from marmor.data import ImageSet, write_splits
from marmor.recipes import features
from marmor.recipes.evaluating import EvaluationSettings, evaluate, read_pair

COUNT = 160


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MARMOR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _spots(seed: int, count: int = COUNT, blur: float = 0.0) -> ImageSet:
    """A bright spot in one of many places, 12 × 12, of two classes: upper and lower half."""
    stream = torch.Generator().manual_seed(seed)
    places = torch.randint(1, 9, (count, 2), generator=stream)
    images = torch.randint(0, 10, (count, 3, 12, 12), generator=stream).byte()
    for image, (y, x) in zip(images, places.tolist(), strict=True):
        image[:, y : y + 3, x : x + 3] = 230
    if blur:
        wide = torch.nn.functional.avg_pool2d(images.float(), 3, 1, 1)
        images = (images + blur * (wide - images)).round().byte()
    labels = (places[:, 0] > 4).long()
    return ImageSet(images, {"class": labels}, {"class": ("upper", "lower")})


@pytest.fixture
def real(tmp_path: Path) -> Path:
    path = tmp_path / "real.npz"
    write_splits({"train": _spots(0, 400), "test": _spots(1)}, path)
    return path


def _saved(images: ImageSet, path: Path, suffix: str = ".png") -> str:
    path.mkdir(exist_ok=True)
    for number, image in enumerate(images.images):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path / f"{number}{suffix}")
    return str(path)


def _figures(generated: str, real: Path, *words: str, out: Path) -> dict:
    main(
        [
            "evaluate",
            generated,
            "--real",
            str(real),
            "--features",
            "pixels",
            "--out",
            str(out),
            *words,
        ]
    )
    return json.loads((out / "summary.json").read_text())


def test_without_a_training_split_no_copies_are_looked_for(tmp_path: Path) -> None:
    write_splits({"test": _spots(1)}, tmp_path / "held-out.npz")
    generated = _saved(_spots(2), tmp_path / "generated")
    found = _figures(generated, tmp_path / "held-out.npz", out=tmp_path / "out")
    assert "copies.closer" not in found
    assert 0 <= found["precision"] <= 1


def test_one_distribution_is_like_itself(real: Path, tmp_path: Path, capsys) -> None:
    found = _figures(_saved(_spots(2), tmp_path / "same"), real, out=tmp_path / "out")
    assert found["kernel.pixels.low"] < 0 < found["kernel.pixels.high"]
    assert 0 <= found["precision.low"] <= found["precision"] <= found["precision.high"] <= 1
    assert found["copies.closer.low"] < 0.5 < found["copies.closer.high"]
    assert found["real.images"] == found["generated.images"] == COUNT
    assert "432 features" in " ".join(found["warnings"])
    assert "Fréchet distance on pixels" in capsys.readouterr().out
    assert (tmp_path / "out" / "table.csv").is_file()
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Nearest training images" in page
    assert f"--real {real} --features pixels --seed 0" in page


def test_what_should_move_moves(real: Path, tmp_path: Path) -> None:
    same = _figures(_saved(_spots(2), tmp_path / "same"), real, out=tmp_path / "a")
    blurred = _figures(_saved(_spots(2, blur=1.0), tmp_path / "blur"), real, out=tmp_path / "b")
    assert blurred["frechet.pixels.extrapolated.low"] > same["frechet.pixels.extrapolated.high"]
    assert blurred["recall"] < same["recall"] - 0.2
    one = _spots(2, 2 * COUNT + 80)
    upper = one.take((one.labels["class"] == 0).nonzero().flatten()[:COUNT])
    dropped = _figures(_saved(upper, tmp_path / "dropped"), real, out=tmp_path / "c")
    assert dropped["coverage"] < same["coverage"] - 0.1
    assert dropped["kernel.pixels"] > same["kernel.pixels.high"]
    twice = _spots(2, COUNT // 8)
    repeated = twice.take(list(range(len(twice))) * 8)
    duplicates = _figures(_saved(repeated, tmp_path / "twice"), real, out=tmp_path / "d")
    assert duplicates["coverage"] < same["coverage"] - 0.2
    assert duplicates["recall"] < same["recall"]


def test_copies_of_training_images_are_found(real: Path, tmp_path: Path) -> None:
    copies = _saved(_spots(0, 400).take(range(COUNT)), tmp_path / "copies")
    found = _figures(copies, real, out=tmp_path / "out")
    assert found["copies.closer"] == 1


def test_real_images_without_splits_tell_nothing_of_copies(tmp_path: Path) -> None:
    real = _saved(_spots(0), tmp_path / "real")
    found = _figures(_saved(_spots(2), tmp_path / "same"), Path(real), out=tmp_path / "out")
    assert "copies.closer" not in found
    named = _figures(
        str(tmp_path / "same"), Path(real), "--training", str(tmp_path / "same"), out=tmp_path / "b"
    )
    assert named["copies.closer"] == 1


def test_the_second_time_nothing_is_measured_again(
    real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generated = _saved(_spots(2), tmp_path / "same")
    first = _figures(generated, real, out=tmp_path / "a")
    monkeypatch.setattr(features, "extract", None)
    monkeypatch.setattr("marmor.recipes.evaluating.figures", None)
    monkeypatch.setattr("marmor.recipes.evaluating._copies", lambda *args: None)
    second = _figures(generated, real, out=tmp_path / "b")
    shared = second.keys() & first.keys()
    assert {name: second[name] for name in shared} == {name: first[name] for name in shared}


def test_a_damaged_cache_is_made_anew(real: Path, tmp_path: Path, cache: Path) -> None:
    generated = _saved(_spots(2), tmp_path / "same")
    first = _figures(generated, real, out=tmp_path / "a")
    kept = list(cache.iterdir())
    assert len(kept) == 4  # features of three sets, and the figures of a pair
    for path in kept:
        path.write_bytes(b"?")
    assert _figures(generated, real, out=tmp_path / "b") == first


def test_classes_are_read_where_a_judge_knows_them(
    judge_run: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ["--features", f"judge:{judge_run}", "--judge", str(judge_run), "--out", str(out)]
    main(["evaluate", str(data), "--real", str(data), *words])
    found = json.loads((out / "summary.json").read_text())
    assert found["judge.accuracy"] > 0.9
    assert "frechet.judge.extrapolated" in found


def test_several_generators_stand_in_one_table(real: Path, tmp_path: Path, capsys) -> None:
    same = _saved(_spots(2), tmp_path / "same")
    blurred = _saved(_spots(3, blur=1.0), tmp_path / "blurred")
    out = tmp_path / "comparison"
    main(["compare", same, blurred, "--real", str(real), "--features", "pixels", "--out", str(out)])
    rows = (out / "table.csv").read_text().splitlines()
    assert rows[0].endswith(f"{blurred} − {same}")
    distance = next(row for row in rows if "extrapolated" in row)
    low = float(distance.rsplit("(", 1)[1].split(" to ")[0])
    assert low > 0  # blurred ones lie further away, and the interval of the difference says so
    assert Image.open(out / "comparison.png").width > 400
    assert set(json.loads((out / "summary.json").read_text())) == {same, blurred}


def test_other_sizes_are_brought_together_and_told(tmp_path: Path) -> None:
    large = _saved(_spots(0, 30).resized(24), tmp_path / "large")
    drawn, real = read_pair(_saved(_spots(1, 30), tmp_path / "small"), large)
    assert drawn.size == real.size == (12, 12)
    assert any("24×24 to 12×12" in note for note in real.notes)
    mixed = tmp_path / "mixed"
    _saved(_spots(1, 30), mixed)
    Image.new("RGB", (9, 20)).save(mixed / "zz.png")
    drawn, _ = read_pair(str(mixed), large)
    assert drawn.size == (24, 24)
    with pytest.raises(SystemExit):
        main(["evaluate", str(mixed), "--real", str(mixed)])


def test_other_formats_and_kinds_of_pixels_are_told(tmp_path: Path) -> None:
    drawn = _saved(_spots(1, 30), tmp_path / "jpeg", ".jpg")
    real = _saved(_spots(0, 30), tmp_path / "png")
    Image.fromarray(np.zeros((12, 12, 4), np.uint8)).save(Path(real) / "alpha.png")
    Image.fromarray(np.zeros((12, 12), np.uint16)).save(Path(real) / "deep.png")
    Image.fromarray(np.zeros((12, 12), np.uint8)).save(Path(real) / "grey.png")
    found = evaluate(drawn, EvaluationSettings(real=real, features="pixels"))
    told = " ".join(found.warnings)
    assert ".jpg and the real ones .png" in told
    for kind in ("transparen", "16", "grey"):
        assert kind in told.lower(), told


@pytest.mark.parametrize("count", [0, 1, 19])
def test_too_few_images_are_one_sentence(count: int, real: Path, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "few"
    _saved(_spots(0, count), folder)
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", str(folder), "--real", str(real), "--features", "pixels"])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert str(folder) in said


@pytest.mark.parametrize(
    ("spec", "wrong"),
    [
        ("pixel", "pixels"),
        ("inception", "inception:PATH"),
        ("judge", "judge:PATH"),
        ("inception:nowhere.pt", "nowhere.pt does not exist"),
    ],
)
def test_unknown_instruments_are_one_sentence(
    spec: str, wrong: str, real: Path, tmp_path: Path, capsys
) -> None:
    generated = _saved(_spots(2), tmp_path / "same")
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", generated, "--real", str(real), "--features", spec])
    assert stopped.value.code == 2
    assert wrong in capsys.readouterr().err
