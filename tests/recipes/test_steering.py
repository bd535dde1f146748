"""Steering by a judge: what it says as a likelihood, what it does to drawn scenes, how that is told."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from marmor.base.errors import UserError
from marmor.base.pixels import to_unit
from marmor.cli import main
from marmor.data import SHOWS, read
from marmor.networks.object_judges import ObjectJudge
from marmor.recipes import scene_scoring
from marmor.recipes.asking import Ask, ask_scenes
from marmor.recipes.denoising import DiffusionGenerator
from marmor.recipes.drawing import as_images, draw
from marmor.recipes.models import load_generator
from marmor.recipes.object_judging import LoadedObjectJudge, load_object_judge, scores_of
from marmor.recipes.steering import SteeringWishes, log_likelihood, steered
from marmor.training import RunFolder, save_weights

OBJECTS = [["red cube"], ["blue sphere", "gray cube"], ["red cube"]]


@pytest.fixture(scope="module")
def other_judge(train_scene_judge: Callable[[int], Path]) -> Path:
    return train_scene_judge(1)


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(OBJECTS))
    return path


@pytest.fixture
def generator(tiny_scene_model: Path) -> DiffusionGenerator:
    return load_generator(str(tiny_scene_model))


def asks(generator: DiffusionGenerator) -> list[Ask]:
    places = generator.vocabulary[SHOWS].index
    return ask_scenes(generator, [[places(name) for name in names] for names in OBJECTS])


def drawn(model: DiffusionGenerator, batch: int = 50) -> Tensor:
    return torch.stack([item.image for item in draw(model, asks(model), 0, "fp32", batch)])


class Certain(ObjectJudge):
    """Says the same of every image."""

    objects = 3

    def logits(self, x: Tensor) -> Tensor:
        return torch.tensor([2.0, -1.0, 0.5]).expand(len(x), 3)


@pytest.mark.parametrize(
    ("names", "logits"), [(("a", "b", "c"), [0.5, 2.0, -1.0]), (None, [2.0, -1.0, 0.5])]
)
def test_a_set_is_as_likely_as_its_objects_there_and_the_others_not(
    names: tuple[str, ...] | None, logits: list[float]
) -> None:
    """Objects are matched by name; a judge without names is taken to have them in the same order."""
    say = log_likelihood(LoadedObjectJudge(Certain(), names, "judge", side=8), ("c", "a", "b"))
    asked = torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 0]])
    first, second, third = torch.tensor(logits).sigmoid()
    wanted = torch.stack([first * (1 - second) * third, (1 - first) * second * (1 - third)])
    torch.testing.assert_close(say(torch.zeros(2, 3, 8, 8), {SHOWS: asked}), wanted.log())


def test_steered_scenes_are_likelier_to_the_judge_the_more_the_stronger(
    generator: DiffusionGenerator, other_judge: Path
) -> None:
    judge = load_object_judge(str(other_judge))
    say = log_likelihood(judge, generator.vocabulary[SHOWS])
    by = {scale: steered(generator, SteeringWishes(str(other_judge), scale)) for scale in (0, 1, 5)}

    def likelihood(images: Tensor) -> float:
        said = torch.stack([ask.said[SHOWS] for ask in asks(generator)]).float()
        with torch.inference_mode():
            return say(to_unit(images), {SHOWS: functional.pad(said, (0, 1))}).mean().item()

    plain = drawn(generator)
    assert torch.equal(drawn(by[0]), plain)
    assert likelihood(plain) < likelihood(drawn(by[1])) < likelihood(drawn(by[5]))


def test_a_steered_scene_does_not_depend_on_the_batch_size(
    generator: DiffusionGenerator, other_judge: Path
) -> None:
    model = steered(generator, SteeringWishes(str(other_judge), 200.0))
    whole, alone = drawn(model, batch=3).int(), drawn(model, batch=1).int()
    assert (whole - alone).abs().max() <= 1


def test_guidance_and_steering_act_in_one_interval(
    generator: DiffusionGenerator, other_judge: Path
) -> None:
    def during(model: DiffusionGenerator, low: float, high: float) -> Tensor:
        how = replace(model.drawing, guidance=1.0, guided_from=low, guided_to=high)
        return drawn(replace(model, drawing=how))

    model = steered(generator, SteeringWishes(str(other_judge), 5.0))
    plain = during(generator, 0.0, 1.0)
    assert not torch.equal(during(model, 0.0, 1.0), plain)
    assert torch.equal(during(model, 1.0, 1.0), plain)
    assert torch.equal(during(model, 0.0, 0.0), plain)


def test_scores_of_a_steered_model_tell_the_judge_that_steered(
    tiny_scene_model: Path,
    tiny_scene_judge: Path,
    other_judge: Path,
    spec: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["score", str(tiny_scene_model), "--spec", str(spec), "--seeds", "2"]
    words += ["--judge", str(tiny_scene_judge), "--out", str(tmp_path)]
    main(words)
    assert "steered" not in json.loads((tmp_path / "summary.json").read_text())
    assert "steered by" not in capsys.readouterr().out
    main([*words, "--steer", str(other_judge), "--steer-scale", "2.5"])
    figures = json.loads((tmp_path / "summary.json").read_text())
    assert figures["judge"] == str(tiny_scene_judge)
    assert figures["steered"].startswith(
        f"steered by the judge {other_judge} at scale 2.5 (weights "
    )
    told = "".join(capsys.readouterr().out.split())
    assert "".join(figures["steered"].split()) in told


def test_drawn_files_keep_by_whom_they_were_steered(
    tiny_scene_model: Path,
    tiny_scene_judge: Path,
    other_judge: Path,
    spec: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also once they lie elsewhere, among others."""
    places = ["--spec", str(spec), "--out"]
    steering = ["--steer", str(other_judge)]
    main(["sample", str(tiny_scene_model), *places, str(tmp_path / "plain")])
    main(["sample", str(tiny_scene_model), *places, str(tmp_path / "drawn"), *steering])
    main(["grid", str(tiny_scene_model), *places, str(tmp_path / "grid.png"), *steering])
    assert capsys.readouterr().out.count("steered by the judge") == 2
    assert read(str(tmp_path / "plain"), "train").notes == ()
    shutil.copy(tmp_path / "plain" / "1.png", tmp_path / "drawn" / "1.png")
    shutil.move(tmp_path / "drawn", tmp_path / "moved")
    score = ["score", str(tmp_path / "moved"), *places, str(tmp_path), "--judge"]
    main([*score, str(tiny_scene_judge)])
    figures = json.loads((tmp_path / "summary.json").read_text())
    assert figures["steered"].startswith(f"2 of 3 images: steered by the judge {other_judge} at ")
    with pytest.raises(SystemExit, match="2"):
        main([*score, str(other_judge)])
    assert "has the weights of the one that steered these images" in capsys.readouterr().err


def copied(run: Path, out: Path, half: bool) -> Path:
    """The judge of a run elsewhere: the run itself, or its weights in half precision."""
    if not half:
        return Path(shutil.copytree(run, out))
    out.mkdir()
    shutil.copy(run / "config.json", out)
    weights = RunFolder.open(run).average_weights()
    halves = {name: v.half() if v.is_floating_point() else v for name, v in weights.items()}
    save_weights(halves, out / "model.safetensors")
    return out


@pytest.mark.parametrize("half", [False, True])
def test_the_judge_that_steers_does_not_score_by_any_path(
    half: bool,
    generator: DiffusionGenerator,
    tiny_scene_model: Path,
    other_judge: Path,
    spec: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    again = copied(other_judge, tmp_path / "again", half)
    words = ["--spec", str(spec), "--judge", str(again), "--steer", str(other_judge)]
    monkeypatch.setattr(scene_scoring, "draw_over", None)  # it is told before anything is drawn
    with pytest.raises(SystemExit, match="2"):
        main(["score", str(tiny_scene_model), *words, "--out", str(tmp_path / "scores")])
    said = capsys.readouterr().err
    assert f"the judge {again} has the weights of the one that steered" in said
    assert not (tmp_path / "scores").exists()
    model = steered(generator, SteeringWishes(str(other_judge), 1.0))
    images = as_images(draw(model, asks(model), 0), model)
    with pytest.raises(UserError, match="name another judge"):
        scores_of(load_object_judge(str(again)), images)


def test_what_cannot_be_steered(
    run: Path,
    generator: DiffusionGenerator,
    tiny_scene_judge: Path,
    spec: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    judge = str(tiny_scene_judge)
    with pytest.raises(UserError, match="draws no sets of objects, and only those are steered"):
        steered(load_generator(str(run)), SteeringWishes(judge))
    with pytest.raises(UserError, match="name a judge with --steer"):
        steered(generator, SteeringWishes(steer_scale=2.0))
    for scale in (-1.0, float("inf"), float("nan")):
        with pytest.raises(UserError, match="--steer-scale must be 0 or a positive number"):
            steered(generator, SteeringWishes(judge, scale))
    knows_more = replace(generator, vocabulary={SHOWS: ("red cube", "red teapot")})
    with pytest.raises(UserError, match="does not know red teapot"):
        steered(knows_more, SteeringWishes(judge))
    main(["sample", generator.origin, "--spec", str(spec), "--out", str(tmp_path / "drawn")])
    words = ["score", str(tmp_path / "drawn"), "--judge", judge, "--steer", judge]
    for given, said in (
        (["--spec", str(spec)], "finished images cannot be drawn otherwise or steered"),
        ([], "name it with --spec"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main([*words, *given])
        assert said in capsys.readouterr().err
