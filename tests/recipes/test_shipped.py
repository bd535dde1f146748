"""Models that ship: they draw and read at once, and their recipes give the like again."""

import json
import tomllib
from pathlib import Path

import pytest
import torch

from marmor.cli import main
from marmor.data import DOMAIN, SHOWS, read, read_scenes
from marmor.metrics import object_answers
from marmor.recipes.asking import ask_any_scenes, ask_classes
from marmor.recipes.drawing import as_images, draw
from marmor.recipes.folders import WEIGHTS
from marmor.recipes.generators import Generator
from marmor.recipes.models import find_judges, load_generator
from marmor.recipes.object_judging import needed_object_judge, scores_of
from marmor.recipes.scoring import accuracy, judge_images

PLACES = ("mnist-m", "house-numbers")


def read_right(generator: Generator, domain: str, per_class: int) -> float:
    """The share of drawn images that the shipped judge of a domain reads as asked."""
    asks = ask_classes(generator, per_class, others={DOMAIN: [domain]})
    images = as_images(draw(generator, asks, seed=1), generator)
    judge = find_judges(None, generator.vocabulary)[domain]
    return accuracy(judge, images, judge_images(judge, images)).overall.value


def test_both_places_are_drawn_and_read_with_nothing_but_what_ships() -> None:
    model = load_generator("pretrained:two-domains")
    assert model.domains == PLACES
    for domain in PLACES:
        assert read_right(model, domain, per_class=5) >= 0.9


def objects_found(generator: Generator, count: int) -> float:
    """The share of what random sets ask for that the shipped judge finds in pictures of them."""
    images = as_images(draw(generator, ask_any_scenes(generator, count), seed=1), generator)
    judge = needed_object_judge(None, generator.vocabulary[SHOWS])
    return scores_of(judge, images).found.value


def test_scenes_are_drawn_and_read_with_nothing_but_what_ships() -> None:
    assert objects_found(load_generator("pretrained:scenes"), 24) >= 0.94


def test_the_judge_of_scenes_reads_pictures_that_it_never_saw(tmp_path: Path) -> None:
    path = tmp_path / "scenes"
    main(["data", "make", "scenes", "--count", "60", "--seed", "7", "--out", str(path)])
    images = read_scenes(path, None)
    objects = images.vocabulary[SHOWS]
    probabilities = needed_object_judge(None, objects).read(images, objects)
    assert object_answers(probabilities, images.labels[SHOWS]).overall.value >= 0.99


def test_the_small_pipeline_draws_what_words_say(tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    names = ("red cube", "blue sphere", "green cylinder", "gray cube")
    words = ["pretrained:tiny-text-to-image", "--count", "3", "--steps", "12"]
    for name in names:
        words += ["--prompt", f"a photo of a {name}"]
    main(["generate", *words, "--out", str(tmp_path / "drawn")])
    folders = [tmp_path / "drawn" / f"a-photo-of-a-{name.replace(' ', '-')}" for name in names]
    images = [read(str(folder), "test") for folder in folders]
    judge = needed_object_judge(None, names)
    found = [judge.read(each, names)[:, k] > 0.5 for k, each in enumerate(images)]
    assert torch.cat(found).float().mean() >= 0.75


def test_the_small_clip_names_by_words_what_it_never_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setenv("MARMOR_CACHE", str(tmp_path / "cache"))
    made, out = tmp_path / "captioned", tmp_path / "out"
    words = ["--count", "1", "--each", "12", "--seed", "9"]
    main(["data", "make", "captioned-scenes", *words, "--out", str(made)])
    asked = ["--images", str(made / "unseen"), "--labels", str(made / "id2label.json")]
    asked += ["--templates", "plain", "--out", str(out)]
    main(["zero-shot", "--model", "pretrained:tiny-clip", *asked])
    told = json.loads((out / "summary.json").read_text())
    assert told["images"] == 48
    assert told["top1"] >= 0.85


def test_weights_that_ship_are_small() -> None:
    sizes = {path.parent.name: path.stat().st_size for path in WEIGHTS.glob("*/*.safetensors")}
    whole = [path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()]
    assert sizes["scene-judge"] <= 3e6
    assert sizes["two-domains"] + sizes["scenes"] < 14e6
    assert sum(whole) < 40e6


def test_the_small_world_ships_in_less_than_25_megabytes() -> None:
    world = [path for path in WEIGHTS.glob("tiny-*/**/*") if path.is_file()]
    assert {"clip", "unet", "text_encoder"} <= {path.parent.name for path in world}
    assert sum(path.stat().st_size for path in world) < 25e6


def test_the_judge_of_house_numbers_reads_those_that_it_never_saw() -> None:
    images = read("house-numbers", "test")
    judge = find_judges(None, {"class": images.class_names, "domain": PLACES})["house-numbers"]
    images = judge.prepare(images)
    assert accuracy(judge, images, judge_images(judge, images)).overall.value >= 0.97


def test_all_that_ships_is_found_as_data_of_the_package(tmp_path: Path) -> None:
    told = tomllib.loads((WEIGHTS.parents[2] / "pyproject.toml").read_text())
    patterns = told["tool"]["setuptools"]["package-data"]["marmor"]
    nested = tmp_path / "weights" / "a-model" / "pipeline" / "unet" / "config.json"
    nested.parent.mkdir(parents=True)
    nested.write_text("{}")
    for package in (WEIGHTS.parent, tmp_path):
        taken = {path for pattern in patterns for path in package.glob(pattern)}
        here = {path for path in (package / "weights").rglob("*") if path.is_file()}
        assert here
        assert here <= taken


@pytest.mark.slow
def test_the_recipe_of_two_domains_gives_the_like_again(tmp_path: Path) -> None:
    """On what is embedded, in a sixth of the minutes."""
    main(["train", "digits-two-domains", "--minutes", "10", "--run", str(tmp_path / "run")])
    for domain in PLACES:
        again, shipped = (
            read_right(load_generator(spec), domain, per_class=50)
            for spec in (str(tmp_path / "run"), "pretrained:two-domains")
        )
        assert abs(again - shipped) <= 0.04, domain


@pytest.mark.slow
def test_the_recipe_of_scenes_gives_the_like_again(tmp_path: Path) -> None:
    """In a third of the minutes."""
    data, run = str(tmp_path / "scenes"), str(tmp_path / "run")
    main(["data", "make", "scenes", "--count", "20000", "--out", data])
    main(["train", "iclevr", "--data", data, "--minutes", "30", "--run", run])
    again, shipped = (
        objects_found(load_generator(spec), 96) for spec in (run, "pretrained:scenes")
    )
    assert again >= shipped - 0.08
