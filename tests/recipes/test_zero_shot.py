"""`marmor zero-shot`: from a folder and names to answers, and what people give it."""

import csv
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel

from marmor.base.errors import UserError
from marmor.cli import main
from marmor.data import MissingSplitError, read
from marmor.recipes import text_image, zero_shot_explained
from marmor.recipes.naming import read_names, truth_of
from marmor.training import RunFolder

NAMES = ("fox", "willow_tree", "red cup", "bee", "old castle", "otter")
TEMPLATES = ("a photo of a {}.", "the small {} at night")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MARMOR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 pictures <class>_<n>.png of 20×20, smooth noise, four of each class."""
    path = tmp_path_factory.mktemp("pictures") / "pictures"
    path.mkdir()
    stream = torch.Generator().manual_seed(4)
    for number in range(24):
        coarse = torch.rand(1, 3, 4, 4, generator=stream) * 255
        smooth = torch.nn.functional.interpolate(coarse, (20, 20), mode="bicubic")[0]
        pixels = smooth.clamp(0, 255).byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(path / f"{number % 6}_{number}.png")
    return path


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "id2label.json"
    path.write_text(json.dumps(dict(zip(map(str, range(6)), NAMES, strict=True))))
    return path


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    path = tmp_path / "templates.txt"
    path.write_text("\n".join(TEMPLATES))
    return path


def _run(*words: object) -> None:
    main(["zero-shot", *map(str, words)])


def _summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


def _answers(out: Path) -> list[dict[str, str]]:
    with (out / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@torch.inference_mode()
def _by_hand(folder: Path, pictures: Path) -> tuple[list[str], torch.Tensor]:
    """Names of files and logits (N, K), by transformers alone."""
    model = CLIPModel.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    unit = torch.nn.functional.normalize
    directions = []
    for name in NAMES:
        said = [template.replace("{}", name.replace("_", " ")) for template in TEMPLATES]
        tokens = tokenizer(said, padding=True, return_tensors="pt")
        each = unit(model.get_text_features(**tokens).pooler_output, dim=1)
        directions.append(unit(each.mean(0), dim=0))
    paths = sorted(pictures.iterdir(), key=lambda p: tuple(map(int, p.stem.split("_"))))
    prepare = AutoImageProcessor.from_pretrained(folder)
    seen = prepare(images=[Image.open(path) for path in paths], return_tensors="pt")
    embedded = unit(model.get_image_features(**seen).pooler_output, dim=1)
    scaled = model.logit_scale.exp() * embedded @ torch.stack(directions).T
    return [path.name for path in paths], scaled


def _gap(sure: torch.Tensor, right: torch.Tensor) -> float:
    """The calibration error over 15 bins, answer by answer."""
    bins: dict[int, list[tuple[float, float]]] = {}
    for share, hit in zip(sure.tolist(), right.tolist(), strict=True):
        bins.setdefault(math.ceil(15 * share), []).append((share, float(hit)))
    gaps = (abs(sum(s for s, _ in each) - sum(h for _, h in each)) for each in bins.values())
    return sum(gaps) / len(sure)


def test_answers_are_those_of_a_plain_loop(
    tiny_clip: Path, pictures: Path, labels: Path, templates: Path, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "out"
    given = ("--model", tiny_clip, "--images", pictures, "--labels", labels, "--out", out)
    _run(*given, "--templates", templates)
    files, scaled = _by_hand(tiny_clip, pictures)
    wanted = scaled.softmax(1)
    answers, summary = _answers(out), _summary(out)
    assert [row["image_name"] for row in answers] == files
    assert [row["id"] for row in answers] == [str(k) for k in wanted.argmax(1).tolist()]
    assert [row["label"] for row in answers] == [NAMES[k] for k in wanted.argmax(1).tolist()]
    # Resizing rounds to grey levels in another order.
    sure = torch.tensor([float(row["probability"]) for row in answers])
    torch.testing.assert_close(sure, wanted.max(1).values, atol=5e-3, rtol=0)
    truth = torch.tensor([int(name.split("_")[0]) for name in files])
    assert [row["truth"] for row in answers] == [NAMES[k] for k in truth.tolist()]
    assert summary["top1"] == pytest.approx((wanted.argmax(1) == truth).double().mean())
    five = (wanted.topk(5).indices == truth[:, None]).any(1).double().mean()
    assert summary["top5"] == pytest.approx(five)
    assert summary["top1.low"] < summary["top1"] < summary["top1.high"]
    assert torch.tensor(summary["confusion"]).sum(1).tolist() == [4] * 6
    assert summary["calibration.error"] == pytest.approx(_gap(sure, wanted.argmax(1) == truth))
    with (out / "table.csv").open(newline="") as file:
        table = {row["class"]: row for row in csv.DictReader(file)}
    for number, name in enumerate(NAMES):
        right = int((wanted.argmax(1)[truth == number] == number).sum())
        assert summary[f"top1.{name}"] == right / 4
        assert (table[name]["right"], table[name]["images"]) == (f"{25 * right:.1f} %", "4")
    assert summary["chance"] == pytest.approx(1 / 6)
    assert summary["model"]["activation"] == "quick_gelu"
    assert "quick_gelu by the kind of the checkpoint" in capsys.readouterr().out
    drawn = {path.stem for path in (out / "figures").iterdir()}
    assert drawn == {"cases", "calibration", "confusion", "classes"}
    assert not (out / "explain.html").exists()


def test_the_second_time_no_model_is_read(
    tiny_clip: Path, pictures: Path, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ("--model", tiny_clip, "--images", pictures, "--labels", labels)
    _run(*given, "--templates", "simple", "--out", tmp_path / "a")
    monkeypatch.setattr(text_image, "load", None)
    _run(*given, "--templates", "simple", "--out", tmp_path / "b")
    assert _summary(tmp_path / "a") == _summary(tmp_path / "b")
    assert _answers(tmp_path / "a") == _answers(tmp_path / "b")
    with pytest.raises(TypeError):  # another activation is another model
        _run(*given, "--templates", "simple", "--activation", "gelu", "--out", tmp_path / "c")


def test_templates_are_compared_on_the_same_pictures(
    tiny_clip: Path, pictures: Path, labels: Path, templates: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    given = ("--model", tiny_clip, "--images", pictures, "--labels", labels, "--out", out)
    _run(*given, "--templates", templates, "--compare-templates", "--explain")
    summary = _summary(out)
    compared = {one["templates"]: one for one in summary["compared"]}
    assert compared[str(templates)]["difference"] == 0
    assert compared[str(templates)]["top1"] == summary["top1"]
    assert [compared[name]["count"] for name in ("plain", "simple", "openai")] == [1, 7, 80]
    assert compared["plain"]["top1"] == compared["a photo of a {}."]["top1"]
    for one in compared.values():
        assert one["difference"] == pytest.approx(one["top1"] - summary["top1"])
        assert one["difference.low"] < one["difference"] < one["difference.high"]
    assert len((out / "templates.csv").read_text().splitlines()) == len(compared) + 1
    page = (out / "explain.html").read_text()
    first = [*summary["cases"]["right"], *summary["cases"]["wrong"]][0]
    assert f"The likeliest classes of {first['image_name']}" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    alone = tmp_path / "alone"
    _run(*given[:-1], alone, "--templates", "simple")
    assert _summary(alone)["top1"] == compared["simple"]["top1"]


def test_the_matrix_of_the_explained_page_has_the_cosines_of_its_cases(
    tiny_clip: Path, pictures: Path, labels: Path, templates: Path, tmp_path: Path, monkeypatch
) -> None:
    drawn = []

    def noted(values, images, names, title):
        drawn.append((values, names))
        return similarity(values, images, names, title)

    similarity = zero_shot_explained.similarity
    monkeypatch.setattr(zero_shot_explained, "similarity", noted)
    out = tmp_path / "out"
    given = ("--model", tiny_clip, "--images", pictures, "--labels", labels, "--out", out)
    _run(*given, "--templates", templates, "--explain")
    ((values, names),) = drawn
    files, scaled = _by_hand(tiny_clip, pictures)
    cases = _summary(out)["cases"]
    shown = [files.index(each["image_name"]) for kind in ("right", "wrong") for each in cases[kind]]
    wanted = scaled[shown][:, [NAMES.index(name) for name in names]].T
    wanted = wanted / CLIPModel.from_pretrained(tiny_clip).logit_scale.exp().detach()
    torch.testing.assert_close(values, wanted, atol=5e-3, rtol=0)
    assert wanted.std() > 0.02


def test_a_probe_takes_the_embeddings_that_zero_shot_kept(
    tiny_clip: Path, pictures: Path, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(pictures, tmp_path / "data" / "train")
    shutil.copytree(pictures, tmp_path / "data" / "test")
    for path in (tmp_path / "data" / "test").iterdir():
        with Image.open(path) as image:
            flipped = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        flipped.save(path)
    given = ("--model", tiny_clip, "--images", tmp_path / "data", "--labels", labels)
    model = text_image.TextImage(text_image.ModelWishes(model=tiny_clip))
    model.embed_images(model.read(str(tmp_path / "data"), "train"), "what is learned from")
    _run(*given, "--templates", "plain", "--out", tmp_path / "words")
    monkeypatch.setattr(text_image, "load", None)
    words = ("--templates", "plain", "--shots", 1, "--seeds", 2, "--out", tmp_path / "probe")
    main(["probe", *map(str, (*given, *words))])
    assert _summary(tmp_path / "probe")["words.top1"] == _summary(tmp_path / "words")["top1"]


def test_cases_follow_from_the_seed(
    tiny_clip: Path, pictures: Path, labels: Path, tmp_path: Path
) -> None:
    shown = []
    for seed in (0, 0, 1):
        out = tmp_path / f"out{len(shown)}"
        given = ("--model", tiny_clip, "--images", pictures, "--labels", labels)
        _run(*given, "--templates", "plain", "--seed", seed, "--out", out)
        summary = _summary(out)
        shown.append(summary["cases"])
        assert all(case["rank"] == 1 for case in summary["cases"]["right"])
        assert all(case["rank"] > 1 for case in summary["cases"]["wrong"])
        assert summary["cases"]["right"]
        assert len(summary["cases"]["wrong"]) == 5
    assert shown[0] == shown[1] != shown[2]


def test_without_truth_there_are_answers_and_no_scores(
    tiny_siglip: Path, pictures: Path, labels: Path, tmp_path: Path
) -> None:
    unnamed = tmp_path / "unnamed"
    unnamed.mkdir()
    for number, path in enumerate(sorted(pictures.iterdir())):
        side = 20 if number else 30  # of several sizes
        Image.open(path).resize((side, 24)).save(unnamed / f"{number}.jpg")
    out = tmp_path / "out"
    given = ("--model", tiny_siglip, "--images", unnamed, "--labels", labels, "--out", out)
    _run(*given, "--templates", "plain", "--explain")
    summary = _summary(out)
    assert len(_answers(out)) == 24
    assert "top1" not in summary
    assert [len(each) for each in summary["cases"].values()] == [5]
    assert "Squashed, whole, from 2 different sizes to 32×32." in summary["notes"]


def test_truth_from_a_csv_by_name_or_number(pictures: Path, labels: Path, tmp_path: Path) -> None:
    images, names = read(str(pictures)), read_names(labels)
    wanted = truth_of(images, names, None)
    assert wanted is not None
    said = tmp_path / "truth.csv"
    for words in (names.ids, [name.upper() for name in names.names]):
        rows = [f"{name},{words[k]}" for name, k in zip(images.names, wanted.tolist(), strict=True)]
        said.write_text("\n".join(["image_name,label", *reversed(rows)]))
        assert torch.equal(truth_of(images, names, str(said)), wanted)
        deeper = replace(images, names=tuple(f"deep/{name}" for name in images.names))
        assert torch.equal(truth_of(deeper, names, str(said)), wanted)
    assert torch.equal(truth_of(images, names, "from-names"), wanted)
    assert truth_of(images.unlabelled(), names, None) is None


def test_file_names_of_one_class_say_it_where_they_are_asked(
    pictures: Path, labels: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    for path in pictures.glob("3_*.png"):
        shutil.copy(path, alone)
    images, names = read(str(alone)), read_names(labels)
    assert truth_of(images, names, None) is None
    found = truth_of(images, names, "from-names")
    assert found is not None
    assert found.tolist() == [3] * 4
    with pytest.raises(
        UserError,
        match=r"unknown class in the file names 'IMG'.*; add it to these names, or correct it\.",
    ):
        truth_of(replace(images, names=("IMG_1.png",) * 4), names, "from-names")


def test_splits_that_are_not_there(
    tiny_clip: Path, pictures: Path, labels: Path, tmp_path: Path
) -> None:
    shutil.copytree(pictures, tmp_path / "data" / "val")
    model = text_image.TextImage(text_image.ModelWishes(model=tiny_clip))
    with pytest.raises(MissingSplitError, match="it has val"):
        model.read(str(tmp_path / "data"), "test")
    shutil.copytree(pictures, tmp_path / "data" / "train")
    assert len(model.read(str(tmp_path / "data"), "test")) == 24


def test_a_run_is_read_as_its_clip(tiny_clip: Path, tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", "tiny-clip", {})
    shutil.copytree(tiny_clip, run.path / "clip")
    run, plain = (
        text_image.TextImage(text_image.ModelWishes(model=path))
        for path in (tmp_path / "run", tiny_clip)
    )
    assert run.fingerprint == plain.fingerprint
    assert run.model.facts == plain.model.facts


def _fails(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    with pytest.raises(SystemExit) as ended:
        _run(*words)
    assert ended.value.code == 2
    output = "".join(capsys.readouterr())
    assert "Traceback" not in output
    return " ".join(output.split())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"0": "a", "2": "b"}, "names 2 classes but none is number 1"),
        ({"0": "a", "1": "A "}, "calls both 0 and 1"),
        ({"0": "only"}, "a choice needs two"),
        ({"0": "a", "1": 3}, "should map numbers to names"),
        (
            {str(k): f"thing {k}" for k in range(4)},
            "unknown class in the images '4': known are thing 0,",
        ),
        ("nothing", "should map numbers to names"),
    ],
)
def test_names_that_do_not_fit(
    content: object, words: str, tiny_clip: Path, pictures: Path, tmp_path: Path, capsys
) -> None:
    path = tmp_path / "names.json"
    path.write_text(json.dumps(content))
    out = tmp_path / "out"
    given = ("--model", tiny_clip, "--images", pictures, "--labels", path, "--out", out)
    assert words in _fails(capsys, *given)
    assert not out.exists()


def test_other_wrong_words(
    tiny_clip: Path, pictures: Path, labels: Path, tmp_path: Path, capsys
) -> None:
    out, broken, empty = tmp_path / "out", tmp_path / "broken", tmp_path / "empty"
    shutil.copytree(tiny_clip, broken)
    (broken / "tokenizer.json").unlink()
    empty.mkdir()
    (tmp_path / "truth.csv").write_text("image_name,label\n0_0.png,fox\n")
    rest = ("--labels", labels, "--out", out)
    clip = ("--model", tiny_clip, "--images", pictures)
    occupied = tmp_path / "truth.csv"
    with pytest.MonkeyPatch.context() as patch:
        # Long work must not come first.
        patch.setattr(text_image.TextImage, "embed_images", lambda *asked: pytest.fail("embedded"))
        told = _fails(capsys, *clip, "--labels", labels, "--out", occupied)
    assert "cannot be a folder" in told
    assert "has no tokenizer" in _fails(capsys, "--model", broken, "--images", pictures, *rest)
    assert "no images" in _fails(capsys, "--model", tiny_clip, "--images", empty, *rest)
    assert "does not exist" in _fails(capsys, "--model", tmp_path / "x", "--images", empty, *rest)
    assert "has no config.json" in _fails(capsys, "--model", empty, "--images", pictures, *rest)
    assert "no line for 0_6.png" in _fails(capsys, *clip, *rest, "--truth", tmp_path / "truth.csv")
    assert "cannot be read" in _fails(capsys, *clip, *rest, "--truth", tmp_path / "none.csv")
    for header in ("image_name", "name,label"):
        (tmp_path / "odd.csv").write_text(f"{header}\n0_6.png,0\n")
        said = _fails(capsys, *clip, *rest, "--truth", tmp_path / "odd.csv")
        assert "should begin with the header image_name,label" in said
    assert "did you mean 'openai'" in _fails(capsys, *clip, *rest, "--templates", "openia")
    unnamed = tmp_path / "unnamed"
    unnamed.mkdir()
    shutil.copy(pictures / "0_0.png", unnamed / "0.png")
    said = _fails(capsys, "--model", tiny_clip, "--images", unnamed, *rest, "--compare-templates")
    assert "nothing says what the pictures" in said
    assert "leave out --arch" in _fails(capsys, *clip, *rest, "--architecture", "ViT-B-32")
    assert not out.exists()


def test_long_sentences_are_told(
    tiny_clip: Path, pictures: Path, labels: Path, tmp_path: Path, capsys
) -> None:
    path = tmp_path / "long.txt"
    path.write_text("a {}\n" + "so very " * 6 + "long a sentence about a {}")
    given = ("--model", tiny_clip, "--images", pictures, "--labels", labels)
    _run(*given, "--templates", path, "--out", tmp_path / "out")
    assert "6 sentences are longer than 40 tokens and were cut" in capsys.readouterr().out
