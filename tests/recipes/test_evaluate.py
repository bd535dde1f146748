"""`marmor evaluate` and `marmor compare`: from folders to figures, and what people give them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from marmor.base.errors import UserError
from marmor.cli import main
from marmor.data import ImageSet, read, write, write_splits
from marmor.recipes import features
from marmor.recipes.comparing import short
from marmor.recipes.evaluating import EvaluationSettings, evaluate, evaluate_all
from marmor.recipes.evaluation_page import tell
from marmor.recipes.evaluation_sets import gather

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


def _refused(capsys, *words: str) -> str:
    """The one sentence that a command is refused with."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main(list(words))
    said = capsys.readouterr().err
    assert stopped.value.code == 2
    assert said.count("\n") == 1
    return said


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
    said = capsys.readouterr().out
    assert "Fréchet distance on pixels" in said
    for work in ("distances", "precision and recall"):
        assert f"{work} of {tmp_path / 'same'}: done" in said
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
    monkeypatch.setattr("marmor.recipes.evaluating.nearest", None)
    assert _figures(generated, real, out=tmp_path / "b") == first


def test_networks_that_differ_in_their_graph_alone_are_told_apart(tmp_path: Path) -> None:
    class Scaled(torch.nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor

        def forward(self, images: torch.Tensor, return_features: bool = False) -> torch.Tensor:
            return self.factor * images.float().mean((1, 2, 3))[:, None].repeat(1, 2048)

    told = []
    for factor in (1.0, 2.0):
        path = tmp_path / f"{factor}.pt"
        torch.jit.script(Scaled(factor)).save(str(path))
        told.append(features.instrument(f"inception:{path}", 12).fingerprint)
    assert told[0] != told[1]  # else one would get the other's features from the cache


def test_a_damaged_cache_is_made_anew(real: Path, tmp_path: Path, cache: Path) -> None:
    generated = _saved(_spots(2), tmp_path / "same")
    first = _figures(generated, real, out=tmp_path / "a")
    kept = list(cache.iterdir())
    # Features of three sets, the figures of a pair, neighbours of two, copies.
    assert len(kept) == 7
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


def test_images_of_one_class_are_read_by_a_judge_that_knows_it(tmp_path: Path) -> None:
    digits = read("digits", "test").colour()
    sevens = digits.take((digits.labels["class"] == 7).nonzero().flatten()[:40])
    folder = Path(_saved(sevens, tmp_path / "sevens"))
    for path in list(folder.iterdir()):
        path.rename(folder / f"7_{path.name}")
    settings = EvaluationSettings(str(folder), "pixels", judge="pretrained:digit-judge")
    read_right = evaluate(str(folder), settings).agreement
    assert read_right is not None
    assert read_right.count == 40
    assert read_right.value > 0.9


def test_several_generators_stand_in_one_table(real: Path, tmp_path: Path, capsys) -> None:
    same = _saved(_spots(2), tmp_path / "same")
    blurred = _saved(_spots(3, blur=1.0), tmp_path / "blurred")
    out = tmp_path / "comparison"
    main(["compare", same, blurred, "--real", str(real), "--features", "pixels", "--out", str(out)])
    rows = (out / "table.csv").read_text().splitlines()
    assert rows[0] == "measure,same,blurred,blurred − same"
    distance = next(row for row in rows if "extrapolated" in row)
    low = float(distance.rsplit("(", 1)[1].split(" to ")[0])
    assert low > 0  # blurred ones lie further away, and the interval of the difference says so
    assert Image.open(out / "comparison.png").width > 400
    found = json.loads((out / "summary.json").read_text())
    assert {same, blurred} <= set(found)
    name = f"difference.{blurred}.{same}.frechet.pixels.extrapolated"
    assert found[name] == pytest.approx(
        found[blurred]["frechet.pixels.extrapolated"] - found[same]["frechet.pixels.extrapolated"]
    )
    assert 0 < found[f"{name}.low"] < found[name] < found[f"{name}.high"]
    assert f"difference.{blurred}.{same}.copies.closer" in found
    page = (out / "report.html").read_text()
    assert f"marmor compare {same} {blurred} --real {real}" in page
    assert "Every measure" in page


def test_generators_are_measured_alike(real: Path, tmp_path: Path) -> None:
    """With the smallest count and at one size."""
    settings = EvaluationSettings(str(real), "pixels")
    many, few, small = _spots(2, 320), _spots(2, 320).take(range(80)), _spots(3, 80).resized(8)
    first, second, third = evaluate_all([many, few, small], settings)
    assert first.generated.size == second.real.size == (8, 8)
    assert first.by is third.by
    kind = "frechet.pixels"
    [alone] = evaluate_all([many.resized(8)], settings)
    assert first.figures[kind].value > alone.figures[kind].value  # of 80 there is more bias
    extrapolated = f"{kind}.extrapolated"  # of all that there are, here as there
    assert first.figures[extrapolated] == alone.figures[extrapolated]


def test_a_set_named_twice_is_refused(real: Path, tmp_path: Path, capsys) -> None:
    same = _saved(_spots(2), tmp_path / "same")
    said = _refused(capsys, "compare", same, same, "--real", str(real), "--features", "pixels")
    assert f"{same} is named twice" in said


def test_sets_that_suit_different_features_are_refused(real: Path) -> None:
    digits = ImageSet(_spots(2).images, {"class": _spots(2).labels["class"]}, {"class": ("0", "1")})
    with pytest.raises(UserError, match="name one with --features"):
        evaluate_all([digits, _spots(3)], EvaluationSettings(str(real)))


def test_sets_in_memory_are_measured_too() -> None:
    settings = EvaluationSettings(real=_spots(1), features="pixels", training=_spots(0, 400))
    found = evaluate(_spots(2), settings)
    assert found.name == "images 1"
    assert found.copies is not None
    assert found.words == ("--features", "pixels", "--seed", "0")


def test_grey_training_images_of_another_size_are_shown_beside_colour(tmp_path: Path) -> None:
    real = _spots(1)
    grey = replace(_spots(0, 400).resized(16), images=_spots(0, 400).resized(16).images[:, :1])
    settings = EvaluationSettings(real=real, features="pixels", training=grey)
    found = evaluate(_spots(2), settings)
    assert found.copies is not None
    assert found.copies.training.images.shape[1:] == (3, 12, 12)
    tell(found, tmp_path)
    assert (tmp_path / "figures" / "neighbours.png").is_file()


def test_oblong_images_are_held_against_square_ones(tmp_path: Path) -> None:
    oblong = replace(_spots(1), images=_spots(1).images[:, :, :10])
    settings = EvaluationSettings(real=oblong, features="pixels", training=_spots(0, 400))
    tell(evaluate(replace(oblong, images=_spots(2).images[:, :, 2:]), settings), tmp_path)
    assert (tmp_path / "figures" / "neighbours.png").is_file()


def test_grey_beside_colour_is_told() -> None:
    grey = replace(_spots(2), images=_spots(2).images[:, :1])
    told = evaluate(grey, EvaluationSettings(real=_spots(1), features="pixels")).warnings
    assert any("are grey and the real images in colour" in each for each in told)


def test_what_was_done_to_training_images_is_told() -> None:
    training = replace(_spots(0, 400), notes=("transparency was composited on white.",))
    asked = EvaluationSettings(real=_spots(1), features="pixels", training=training)
    told = evaluate(_spots(2), asked).warnings
    assert "training images: transparency was composited on white." in told


def test_warnings_of_several_sets_say_which_one_is_meant(tmp_path: Path, capsys) -> None:
    sets = [tmp_path / name for name in ("png", "jpg", "real")]
    for seed, folder in enumerate(sets):
        folder.mkdir()
        for number, image in enumerate(_spots(seed).images):
            pixels = Image.fromarray(image.permute(1, 2, 0).numpy())
            pixels.save(folder / f"{number}.{'jpg' if folder.name == 'jpg' else 'png'}")
    words = ["--real", str(sets[2]), "--features", "pixels", "--out", str(tmp_path / "out")]
    main(["compare", str(sets[0]), str(sets[1]), *words])
    said = capsys.readouterr().out
    assert f"the files of {sets[1]} are .jpg and those of the real images .png" in said
    assert f"the files of {sets[0]}" not in said


def test_sets_are_called_by_what_tells_their_paths_apart() -> None:
    assert short(["runs/a/drawn/gan", "runs/a/drawn/diffusion"]) == ["gan", "diffusion"]
    assert short(["/runs/a/drawn", "/runs/b/drawn"]) == ["a/drawn", "b/drawn"]
    assert short(["drawn", "old/drawn"]) == ["drawn", "old/drawn"]
    assert short(["images 1", "images 2"]) == ["images 1", "images 2"]


def test_generated_images_may_be_the_only_split_of_their_file(real: Path, tmp_path: Path) -> None:
    write_splits({"test": _spots(2)}, tmp_path / "drawn.npz")
    write(_spots(2), tmp_path / "plain.npz")
    found, plain = (
        _figures(str(tmp_path / f"{name}.npz"), real, out=tmp_path / name)
        for name in ("drawn", "plain")
    )
    assert found["kernel.pixels"] == plain["kernel.pixels"]


@pytest.mark.parametrize("command", ["evaluate", "compare"])
def test_a_place_for_results_that_is_a_file_is_refused_first(
    real: Path, tmp_path: Path, capsys, monkeypatch, command: str
) -> None:
    (tmp_path / "taken").write_text("mine")
    monkeypatch.setattr("marmor.recipes.evaluating.gather", None)  # nothing is read
    words = ["--real", str(real), "--out", str(tmp_path / "taken" / "out")]
    said = _refused(capsys, command, "a", *(["b"] if command == "compare" else []), *words)
    assert f"{tmp_path / 'taken'} is a file" in said
    assert (tmp_path / "taken").read_text() == "mine"


def test_neighbours_of_an_evaluation_before_do_not_stay(real: Path, tmp_path: Path) -> None:
    settings = EvaluationSettings(real=_spots(1), features="pixels", training=_spots(0, 400))
    tell(evaluate(_spots(2), settings), tmp_path)
    assert (tmp_path / "figures" / "neighbours.png").is_file()
    tell(evaluate(_spots(2), replace(settings, training=_spots(1))), tmp_path)
    assert not (tmp_path / "figures" / "neighbours.png").exists()


def test_training_images_that_are_real_ones_are_left_out_and_told() -> None:
    real, training = _spots(1), _spots(0, 400)
    both = replace(
        training, images=torch.cat([training.images, real.images[:7]]), labels={}, vocabulary={}
    )
    found = evaluate(_spots(2), EvaluationSettings(real=real, features="pixels", training=both))
    assert found.copies is not None
    assert len(found.copies.training) == 400
    assert any(each.startswith("7 of 407 training images") for each in found.warnings)
    small = _spots(2).resized(8)
    same = evaluate(small, EvaluationSettings(real=real, features="pixels", training=real))
    assert same.copies is None  # after both were resized too


def test_a_judge_of_images_without_classes_is_refused(real: Path, tmp_path: Path, capsys) -> None:
    same = _saved(_spots(2), tmp_path / "same")
    words = ["--features", "pixels", "--judge", "pretrained:digit-judge"]
    assert "tell no classes" in _refused(capsys, "evaluate", same, "--real", str(real), *words)


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["--faces"], "marmor[faces]"),
        (["--training", "nowhere"], "nowhere does not exist"),
        (["--judge", "pretrained:digit-judge"], "does not know the classes"),
    ],
)
def test_what_cannot_be_is_found_before_anything_is_measured(
    words: list[str], wrong: str, real: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(features, "extract", None)
    monkeypatch.setattr("marmor.metrics.faces.can_detect", lambda: False)
    write_splits({"train": _spots(2)}, tmp_path / "drawn.npz")
    given = ["evaluate", str(tmp_path / "drawn.npz"), "--real", str(real), "--features", "pixels"]
    assert wrong in _refused(capsys, *given, *words)


def test_faces_have_their_shares_beside_real_images_and_noise(
    real: Path, tmp_path: Path, monkeypatch
) -> None:
    seen = []
    monkeypatch.setattr("marmor.metrics.faces.can_detect", lambda: True)
    monkeypatch.setattr(
        "marmor.recipes.face_shares.count_faces",
        lambda images: seen.append(len(images)) or (images[:, 0].flatten(1).amax(1) == 230).long(),
    )
    generated = _saved(_spots(2), tmp_path / "same")
    found = _figures(generated, real, "--faces", out=tmp_path / "a")
    assert sum(seen) == 3 * COUNT
    for name in ("faces.share", "faces.share.real", "faces.share.noise"):
        assert 0 <= found[f"{name}.low"] <= found[name] <= found[f"{name}.high"] <= 1
    assert found["faces.share"] == 1
    assert found["faces.enlarged"] == "bicubic, shorter side 256"
    assert "256 pixels for the detector" in (tmp_path / "a" / "table.csv").read_text()
    assert _figures(generated, real, "--faces", out=tmp_path / "b") == found
    assert sum(seen) == 3 * COUNT  # the second time from the cache


def test_held_out_images_are_looked_for_before_training_ones(tmp_path: Path) -> None:
    write_splits({"train": _spots(0, 400), "val": _spots(1)}, tmp_path / "val.npz")
    write_splits({"train": _spots(0, 400)}, tmp_path / "train.npz")
    sets = gather([_spots(2)], str(tmp_path / "val.npz"), None)
    assert sets.real.images.equal(_spots(1).images)
    sets = gather([_spots(2)], str(tmp_path / "train.npz"), None)
    assert len(sets.real) == 400
    assert any("stand in for held-out ones" in told for told in sets.warnings[0])


def test_a_resize_by_the_instrument_is_told(judge_run: Path, data: Path) -> None:
    large = read(str(data), "test").resized(40)
    found = evaluate(large, EvaluationSettings(real=large, features=f"judge:{judge_run}"))
    assert any("resized from 40×40 to" in told for told in found.warnings)


def test_compression_moves_the_distances(real: Path, tmp_path: Path) -> None:
    folder = tmp_path / "jpeg"
    folder.mkdir()
    for number, image in enumerate(_spots(2).images):
        pixels = Image.fromarray(image.permute(1, 2, 0).numpy())
        pixels.save(folder / f"{number}.jpg", quality=10)
    crushed = _figures(str(folder), real, out=tmp_path / "a")
    same = _figures(_saved(_spots(2), tmp_path / "same"), real, out=tmp_path / "b")
    assert crushed["kernel.pixels.low"] > same["kernel.pixels.high"]


def test_other_sizes_are_brought_together_and_told(tmp_path: Path, capsys) -> None:
    large = _saved(_spots(0, 40).resized(24), tmp_path / "large")
    sets = gather([_saved(_spots(1, 40), tmp_path / "small")], large, None)
    assert sets.drawn[0].size == sets.real.size == (12, 12)
    assert any("24×24 to 12×12" in note for note in sets.warnings[0])
    mixed = tmp_path / "mixed"
    _saved(_spots(1, 40), mixed)
    Image.new("RGB", (9, 20)).save(mixed / "zz.png")
    assert gather([str(mixed)], large, None).drawn[0].size == (24, 24)
    other = tmp_path / "other"
    shutil.copytree(mixed, other)
    assert "differ in size" in _refused(capsys, "evaluate", str(mixed), "--real", str(other))


def test_other_formats_and_kinds_of_pixels_are_told(tmp_path: Path) -> None:
    drawn = _saved(_spots(1, 40), tmp_path / "jpeg", ".jpg")
    real = _saved(_spots(0, 40), tmp_path / "png")
    Image.fromarray(np.zeros((12, 12, 4), np.uint8)).save(Path(real) / "alpha.png")
    Image.fromarray(np.zeros((12, 12), np.uint16)).save(Path(real) / "deep.png")
    Image.fromarray(np.zeros((12, 12), np.uint8)).save(Path(real) / "grey.png")
    found = evaluate(drawn, EvaluationSettings(real=real, features="pixels"))
    told = " ".join(found.warnings)
    assert ".jpg and those of the real images .png" in told
    for kind in ("transparen", "16", "grey"):
        assert kind in told.lower(), told


def test_spellings_of_a_format_are_one_and_unknown_ones_are_told(tmp_path: Path) -> None:
    sets = [
        gather([_saved(_spots(1, 40), tmp_path / "a", ".jpeg")], real, None)
        for real in (_saved(_spots(0, 40), tmp_path / "b", ".jpg"), _spots(0, 40))
    ]
    assert not any("file formats" in told or "traces" in told for told in sets[0].warnings[0])
    assert any("formats of the real images are not known" in told for told in sets[1].warnings[0])


@pytest.mark.parametrize("count", [0, 1, 31])
def test_too_few_images_are_one_sentence(count: int, real: Path, tmp_path: Path, capsys) -> None:
    folder = tmp_path / "few"
    _saved(_spots(0, count), folder)
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", str(folder), "--real", str(real), "--features", "pixels"])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert str(folder) in said
    assert ("holds no image" in said) if not count else (f"holds {count} image" in said)
    assert not count or "intervals need 32" in said


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
