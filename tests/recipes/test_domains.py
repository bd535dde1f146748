"""One model of several domains: what is trained on, what is asked, and that both labels act."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from marmor.base.errors import UserError
from marmor.cli import main
from marmor.data import ImageSet, read, write_splits
from marmor.recipes import domains
from marmor.recipes.asking import ask_classes
from marmor.recipes.domains import DomainsSettings, load_domains
from marmor.recipes.drawing import as_images, draw
from marmor.recipes.models import find_judges, load_generator
from marmor.recipes.scoring import accuracy, judge_images
from marmor.recipes.training_images import named_spec
from marmor.recipes.wishes import Wishes, changed


@pytest.fixture(scope="module")
def dark(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The blobs as negatives: another place where the same classes are found."""
    path = tmp_path_factory.mktemp("dark") / "dark.npz"
    sets = {split: read(str(data), split) for split in ("train", "test")}
    write_splits(
        {name: replace(part, images=255 - part.images) for name, part in sets.items()}, path
    )
    return path


@pytest.fixture(scope="module")
def judges(judge_run: Path, dark: Path, train_judge: Callable[[Path], Path]) -> str:
    return f"blobs={judge_run},dark={train_judge(dark)}"


@pytest.fixture(scope="module")
def two(data: Path, dark: Path, judges: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over both, which has never seen a dark square in the middle."""
    path = tmp_path_factory.mktemp("runs") / "two"
    words = ["--steps", "220", "--batch", "16", "--precision", "fp32", "--judge", judges]
    sets = ["--data", str(data), f"dark={dark}", "--hold-out", "dark/middle"]
    main(["train", "digits-two-domains", *sets, "--run", str(path), *words])
    return path


def pixels(images: ImageSet) -> torch.Tensor:
    return images.images.float().mean((1, 2, 3))


def test_both_labels_act(two: Path, judges: str) -> None:
    generator = load_generator(str(two))
    assert generator.domains == ("blobs", "dark")
    of = {
        name: as_images(
            draw(generator, ask_classes(generator, 8, ["left", "right"], {"domain": [name]}), 3),
            generator,
        )
        for name in generator.domains
    }
    readers = find_judges(judges, generator.vocabulary)
    # Another domain at the same noise and class: another look, and the same class by that domain's judge.
    assert (pixels(of["dark"]) - pixels(of["blobs"])).min() > 60
    for name, images in of.items():
        assert (
            accuracy(readers[name], images, judge_images(readers[name], images)).overall.value
            > 0.85
        )
    asked = ask_classes(generator, 8, ["left", "right"])
    assert [a.stream for a in asked[:16]] == [a.stream for a in asked[16:]]


def test_the_combination_held_out_is_not_trained_on(data: Path, dark: Path) -> None:
    settings = DomainsSettings(
        data=(str(data), f"dark={dark}"), hold_out=("dark/middle", "blobs/left")
    )
    held = load_domains(settings)
    pairs = zip(held.labels["domain"].tolist(), held.labels["class"].tolist(), strict=True)
    assert Counter(pairs) == {(0, 1): 40, (0, 2): 40, (1, 0): 40, (1, 2): 40}


def test_samples_lie_in_a_folder_for_each_domain(two: Path, tmp_path: Path) -> None:
    main(["sample", str(two), "--out", str(tmp_path / "a"), "--per-class", "2"])
    files = {str(path.relative_to(tmp_path / "a")) for path in (tmp_path / "a").rglob("*.png")}
    classes = ("left", "middle", "right")
    assert files == {
        f"{d}/{c}_00{n}.png" for d in ("blobs", "dark") for c in classes for n in (1, 2)
    }
    main(["sample", str(two), "--out", str(tmp_path / "b"), "--per-class", "2", "--domain", "dark"])
    for path in (tmp_path / "b").rglob("*.png"):
        name = path.relative_to(tmp_path / "b")
        assert (tmp_path / "a" / name).read_bytes() == path.read_bytes()
    assert len(list((tmp_path / "b").rglob("*.png"))) == 6


def test_the_page_tells_of_each_domain(two: Path, judges: str) -> None:
    main(["report", str(two), "--judge", judges, "--per-class", "4"])
    figures = json.loads((two / "summary.json").read_text())
    each = [figures[f"{name}.judge.accuracy"] for name in ("blobs", "dark")]
    assert figures["judge.accuracy"] == pytest.approx(sum(each) / 2)
    assert figures["dark.frechet.floor"] > 0
    pictures = {path.name for path in (two / "figures").glob("*.png")}
    assert {
        "grid-dark.png",
        "process-blobs.png",
        "confusion-dark.png",
        "neighbours.png",
    } <= pictures
    page = (two / "report.html").read_text()
    assert "Drawn: dark" in page
    assert "--hold-out dark/middle" in page


def test_conditions_can_be_guided_apart(two: Path) -> None:
    generator = load_generator(str(two))
    [ask] = ask_classes(generator, 1, ["left"], {"domain": ["dark"]})

    def drawn(**wishes) -> torch.Tensor:
        drawing = replace(changed(generator.drawing, Wishes(**wishes)), guided_from=0.0)
        [item] = draw(replace(generator, drawing=drawing), [ask], 0, "fp32")
        return item.image.int()

    plain = drawn(guidance=3.0)
    assert torch.equal(drawn(guidance=3.0, guidance_apart="domain=3"), plain)
    assert (drawn(guidance=3.0, guidance_apart="domain=1") - plain).abs().max() > 2
    assert (drawn(guidance=1.0, guidance_apart="class=3") - plain).abs().max() > 2
    with pytest.raises(UserError, match=r"unknown condition 'clas'.*'class'"):
        drawn(guidance_apart="clas=3")
    for wrong in ("3", "class=x", "class=1,class=2", "class=inf", ""):
        with pytest.raises(UserError, match="NAME=SCALE"):
            changed(generator.drawing, Wishes(guidance_apart=wrong))


def test_a_run_goes_on(two: Path) -> None:
    main(["resume", str(two)])


def test_a_model_of_one_domain_is_asked_for_none(run: Path, tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["grid", str(run), "--out", str(tmp_path / "g.png"), "--domain", "dark"])
    assert "one domain only; leave --domain out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": ("one",)}, "two sets or more"),
        ({"data": ("one", "a=one", "a=two")}, "under different names"),
        ({"hold_out": ("dark",)}, "should be DOMAIN/CLASS"),
        ({"hold_out": ("drk/left",)}, "unknown domain 'drk'.*'dark'"),
        ({"hold_out": ("dark/lft",)}, "unknown class 'lft'.*'left'"),
    ],
)
def test_wishes_that_cannot_be(data: Path, dark: Path, changes: dict, said: str) -> None:
    settings = replace(DomainsSettings(data=(str(data), str(dark))), **changes)
    with pytest.raises(UserError, match=said):
        load_domains(settings)


def test_judges_are_found_by_domain(judges: str, judge_run: Path) -> None:
    knows = {"class": ("left",), "domain": ("blobs", "dark")}
    every = find_judges(str(judge_run), knows)
    assert set(every) == {"blobs", "dark"}
    digits = {"class": ("3", "7"), "domain": ("mnist-m", "svhn", "house-numbers")}
    shipped = {domain: judge.origin for domain, judge in find_judges(None, digits).items()}
    # What ships has never seen the third.
    origins = {"mnist-m": "digit-judge", "house-numbers": "house-number-judge"}
    assert shipped == {domain: f"pretrained:{name}" for domain, name in origins.items()}
    with pytest.raises(UserError, match="unknown domain 'blob'"):
        find_judges(f"blob={judge_run}", knows)


def test_specs_name_themselves_or_are_named() -> None:
    assert named_spec("mnist-m") == ("mnist-m", "mnist-m")
    assert named_spec("/data/house.npz") == ("house", "/data/house.npz")
    assert named_spec("svhn=/data/x.npz") == ("svhn", "/data/x.npz")
    assert named_spec("/data/a=b.npz") == ("a=b", "/data/a=b.npz")
    assert domains.RECIPE == "digits-two-domains"
