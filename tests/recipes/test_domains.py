"""One model of several domains: what is trained on, what is asked, and that both labels act."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from marmor.base.errors import UserError
from marmor.cli import main
from marmor.data import read, write_splits
from marmor.metrics import share
from marmor.recipes import domains, drawing, publishing
from marmor.recipes.asking import ask_classes
from marmor.recipes.domains import DomainsSettings, load_domains
from marmor.recipes.drawing import as_images, draw
from marmor.recipes.models import find_judges, load_generator
from marmor.recipes.scoring import judge_images
from marmor.recipes.training_images import named_spec
from marmor.recipes.wishes import Wishes, changed
from marmor.training import RunFolder


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


def test_both_labels_act(two: Path, judges: str) -> None:
    """In pairs of one noise and class: another domain keeps the class that is read, and changes the look."""
    generator = load_generator(str(two))
    assert generator.domains == ("blobs", "dark")
    asked = ask_classes(generator, 12, ["left", "right"])
    bright, dark = asked[:24], asked[24:]
    assert [a.stream for a in bright] == [a.stream for a in dark]
    readers = find_judges(judges, generator.vocabulary)
    sets = [as_images(draw(generator, asks, 3), generator) for asks in (bright, dark)]
    read = [
        judge_images(readers[name], images).classes
        for name, images in zip(generator.domains, sets, strict=True)
    ]
    assert (read[0] == read[1]).float().mean() > 0.85
    wanted = sets[0].labels["class"]
    assert all((classes == wanted).float().mean() > 0.85 for classes in read)
    # The real domains lie on both sides of middle grey; so does every image of a pair.
    means = [images.images.float().mean((1, 2, 3)) for images in sets]
    assert means[0].max() < 127.5 < means[1].min()
    assert (means[1] - means[0]).min() > 60


def test_the_combination_held_out_is_not_trained_on(data: Path, dark: Path) -> None:
    settings = DomainsSettings(
        data=(str(data), f"dark={dark}"), hold_out=("dark/middle", "blobs/left")
    )
    held = load_domains(settings)
    assert held.notes[-2:] == (
        "40 images of dark/middle held out.",
        "40 images of blobs/left held out.",
    )
    pairs = zip(held.labels["domain"].tolist(), held.labels["class"].tolist(), strict=True)
    assert Counter(pairs) == {(0, 1): 40, (0, 2): 40, (1, 0): 40, (1, 2): 40}


def test_nearest_images_are_looked_for_among_those_trained_on(two: Path) -> None:
    run = RunFolder.open(two)
    assert len(publishing._trained_on(run)) == run.config["settings"]["data"]["count"] == 200


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
    held = [figures[f"held_out.dark/middle.accuracy{end}"] for end in (".low", "", ".high")]
    assert held == sorted(held)
    assert held[1] == figures["dark.judge.accuracy.middle"]
    assert held == [share(round(4 * held[1]), 4)[k] for k in (1, 0, 2)]
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
    assert "dark/middle, never trained on: read as asked" in page
    # Without a judge of each domain there is no mean over them.
    [judge, _] = judges.split(",")
    main(["report", str(two), "--judge", judge, "--per-class", "2"])
    figures = json.loads((two / "summary.json").read_text())
    assert "blobs.judge.accuracy" in figures
    assert not {"judge.accuracy", "held_out.dark/middle.accuracy"} & figures.keys()


def test_milestones_tell_a_mean_of_all_domains_or_none(
    two: Path, data: Path, dark: Path, judges: str, tmp_path: Path
) -> None:
    probed = [line for line in RunFolder(two).history() if "judge.accuracy" in line]
    each = [probed[-1][f"judge.accuracy.{name}"] for name in ("blobs", "dark")]
    assert probed[-1]["judge.accuracy"] == pytest.approx(sum(each) / 2)
    words = ["--steps", "2", "--batch", "4", "--judge", judges.split(",")[0]]
    sets = ["--data", str(data), f"dark={dark}", "--run", str(tmp_path / "run")]
    main(["train", "digits-two-domains", *sets, *words])
    [*_, last] = RunFolder(tmp_path / "run").history()
    assert "judge.accuracy.blobs" in last
    assert not {"judge.accuracy", "judge.accuracy.dark"} & last.keys()
    assert "accuracy" in publishing.training_curves(RunFolder(tmp_path / "run"))


def test_a_judge_of_other_classes_is_told_before_anything_is_drawn(
    two: Path, monkeypatch, fails
) -> None:
    (two / "samples" / "kept.png").parent.mkdir(exist_ok=True)
    (two / "samples" / "kept.png").touch()
    monkeypatch.setattr(drawing, "on_cores", None)
    said = fails(lambda: main(["report", str(two), "--judge", "pretrained:digit-judge"]))
    assert "does not know the classes left, middle, right" in said
    assert (two / "samples" / "kept.png").exists()
    (two / "samples" / "kept.png").unlink()


def test_one_picture_of_classes_alone_does_not_guess_a_domain(
    two: Path, tmp_path: Path, fails
) -> None:
    words = [str(two), "--class", "left", "--out", str(tmp_path / "x.png")]
    for command in ("eta-grid", "interpolate"):
        assert "is also asked for domain" in fails(partial(main, [command, *words]))
    said = fails(lambda: main(["strip", str(two), "--domain", "blobs,dark"]))
    assert "--domain 'blobs,dark' names several" in said


def test_what_cannot_be_trained_leaves_no_run(
    data: Path, dark: Path, tmp_path: Path, fails
) -> None:
    words = ["--data", str(data), f"dark={dark}", "--run", str(tmp_path / "run")]
    train = ["train", "digits-two-domains", *words, "--network", "context-unet"]
    assert "knows one class an image" in fails(lambda: main(train))
    assert not (tmp_path / "run").exists()


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
        ({"data": ("=one", "two")}, "a domain ''"),
        ({"data": (".=one", "two")}, r"a domain '\.'"),
        ({"data": ("..=one", "two")}, r"a domain '\.\.'"),
        ({"data": ("a,b=one", "two")}, "a domain 'a,b'.*NAME=PATH"),
        ({"data": ("a\\b=one", "two")}, "a domain 'a.*b'"),
        ({"data": ("one", "/data/a,b.npz")}, "a domain 'a,b'"),
        (
            {"hold_out": ("dark/left", "dark/middle", "dark/right")},
            "no image of the domain 'dark' to train on",
        ),
        (
            {"hold_out": ("dark/left", "blobs/left")},
            "no image of the class 'left' to train on",
        ),
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
