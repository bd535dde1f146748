"""The judge of scenes: training, resume, the course's checkpoint, wrong input."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from marmor.base.errors import UserError
from marmor.base.pixels import to_unit
from marmor.data import SQUASHED, ImageSet, draw_lists, read_scenes, write_scenes
from marmor.data.scenes import scenes_of
from marmor.networks.object_judges import ResNetObjectJudge
from marmor.recipes import running, scene_judge
from marmor.recipes.exporting import export
from marmor.recipes.object_judging import load_object_judge, read_objects_of
from marmor.recipes.scene_judge import SceneJudgeSettings
from marmor.training import RunFolder


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "scenes"
    write_scenes(draw_lists(20, seed=5), folder, seed=5, side=32, watch=lambda share: None)
    return folder


def settings(scenes: Path, run: Path, **changes) -> SceneJudgeSettings:
    plain = SceneJudgeSettings(scenes, run, "small", steps=4, size=32, precision="fp32")
    return replace(plain, **changes)


def test_training_tells_how_pictures_held_out_are_read_and_seeds_fix_its_bits(
    scenes, tmp_path, capsys
):
    whole = scene_judge.train(settings(scenes, tmp_path / "whole"))
    found = json.loads((whole.path / "summary.json").read_text())
    assert found["pictures"] == 6
    assert 0 <= found["objects.found"] <= 1
    assert found["judge.network"] == "small"
    names = draw_lists(1, 0).objects
    for name in ("agreement", "extra", *(f"agreement.{each}" for each in names)):
        low, value, high = (found[f"objects.{name}{end}"] for end in (".low", "", ".high"))
        assert low <= value <= high
    each = [found[f"objects.agreement.{name}"] for name in names]
    assert found["objects.agreement"] == pytest.approx(sum(each) / len(each))
    told = " ".join(capsys.readouterr().out.split())
    assert "of 6 pictures held out" in told
    assert (
        f"{100 * found['objects.agreement']:.2f} % ({100 * found['objects.agreement.low']:.2f}"
        in told
    )
    loaded = load_object_judge(str(whole.path))
    judge, names = loaded.judge, loaded.objects
    assert names == draw_lists(1, 0).objects
    read = read_objects_of(judge, read_scenes(scenes, 32).images)
    assert read.shape == (60, 24)
    scene_judge.train(settings(scenes, tmp_path / "again"))
    again = load_object_judge(str(tmp_path / "again")).judge
    assert torch.equal(read_objects_of(again, read_scenes(scenes, 32).images), read)
    other = scene_judge.train(settings(scenes, tmp_path / "other", seed=1))
    another = load_object_judge(str(other.path)).judge
    assert not torch.equal(read_objects_of(another, read_scenes(scenes, 32).images), read)
    running.resume(tmp_path / "again")
    assert RunFolder.open(tmp_path / "again").history()[-1]["step"] == 4


def test_pictures_of_one_scene_are_not_parted(scenes):
    data = read_scenes(scenes, 32)
    every = data.take(torch.randperm(60, generator=torch.Generator().manual_seed(0)))
    rest, held = scene_judge._parted(every, scenes_of(scenes))
    assert sorted((*rest.names, *held.names)) == sorted(every.names)
    stems = [{name.rpartition("_")[0] for name in part.names} for part in (rest, held)]
    assert len(stems[1]) == 2
    assert not stems[0] & stems[1]


def test_numbered_pictures_are_scenes_of_their_own(tmp_path):
    """Cut at the last "_", img_000001.png and all others would be one scene."""
    (tmp_path / "objects.json").write_text(json.dumps({"red cube": 0, "blue cube": 1}))
    names = {f"img_{k:06d}.png": ["red cube"] for k in range(1, 21)}
    (tmp_path / "train.json").write_text(json.dumps(names))
    for name in names:
        Image.new("RGB", (16, 16)).save(tmp_path / name)
    rest, held = scene_judge._parted(read_scenes(tmp_path, 16), scenes_of(tmp_path))
    assert (len(rest), held.names) == (18, ("img_000019.png", "img_000020.png"))


def test_an_export_reads_as_its_run_does_to_half_precision(scenes, tmp_path):
    run = scene_judge.train(settings(scenes, tmp_path / "run", steps=20))
    export(run.path, tmp_path / "small", note="scenes")
    own, given = (load_object_judge(str(path)) for path in (run.path, tmp_path / "small"))
    assert (given.objects, given.side, given.network) == (own.objects, 32, "small")
    assert given.fingerprint == own.fingerprint
    data = read_scenes(scenes, 32)
    read, again = (judge.read(data, own.objects) for judge in (own, given))
    assert not torch.equal(read, again)
    assert (read - again).abs().max() < 0.01
    assert str(tmp_path) not in (tmp_path / "small" / "config.json").read_text()
    with pytest.raises(UserError, match="knows no guidance"):
        export(run.path, tmp_path / "other", guidance=2.0)


def test_pictures_of_another_size_are_squashed_to_the_judges(scenes, tmp_path):
    judge = load_object_judge(str(scene_judge.train(settings(scenes, tmp_path / "run")).path))
    large = ImageSet(torch.randint(256, (2, 3, 48, 64), dtype=torch.uint8))
    squashed = large.resized(32, SQUASHED)
    assert torch.equal(judge.read(large, judge.objects), judge.read(squashed, judge.objects))
    assert judge.prepare(large).notes == ("Squashed, whole, from 64×48 to 32×32.",)
    assert not torch.equal(
        read_objects_of(judge.judge, large.images), judge.read(large, judge.objects)
    )
    # Steering asks through the same door, with gradients.
    x = to_unit(large.images).requires_grad_()
    logits = judge.logits(x)
    torch.testing.assert_close(
        logits, judge.judge.logits(to_unit(squashed.images)), atol=0.05, rtol=0.05
    )
    logits.sum().backward()
    assert x.grad.abs().max() > 0


def test_too_few_pictures_leave_no_run(tmp_path):
    write_scenes(draw_lists(3, seed=5), tmp_path / "few", 5, 32, lambda share: None)
    with pytest.raises(UserError, match="3 scenes are too few"):
        scene_judge.train(settings(tmp_path / "few", tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_judge_learns_to_tell_objects_apart(tmp_path):
    write_scenes(draw_lists(64, seed=1), tmp_path / "scenes", 1, 32, lambda share: None)
    run = scene_judge.train(settings(tmp_path / "scenes", tmp_path / "run", steps=60))
    first, last = run.history()[0], run.history()[-1]
    assert last["loss"] < 0.5 * first["loss"]


def course_network() -> nn.Module:
    from torchvision.models import resnet18

    torch.manual_seed(0)
    network = resnet18(weights=None)
    network.fc = nn.Sequential(nn.Linear(512, 24), nn.Sigmoid())  # pyright: ignore
    return network.eval()


def test_the_courses_checkpoint_reads_as_it_did(tmp_path):
    network = course_network()
    torch.save({"model": network.state_dict()}, tmp_path / "checkpoint.pth")
    loaded = load_object_judge(str(tmp_path / "checkpoint.pth"))
    judge, names = loaded.judge, loaded.objects
    assert isinstance(judge, ResNetObjectJudge)
    assert names is None
    assert (loaded.side, loaded.network) == (64, "resnet18")
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(judge(images), network(images))


def test_other_weights_are_no_judge_of_scenes(tmp_path):
    torch.save({"model": {"weight": torch.zeros(2, 2)}}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"fc\.0\.weight"):
        load_object_judge(str(tmp_path / "other.pth"))
    state = course_network().state_dict()
    state.pop("conv1.weight")
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(UserError, match="conv1"):
        load_object_judge(str(tmp_path / "part.pth"))


def test_wrong_wishes_are_told(scenes, tmp_path):
    with pytest.raises(UserError, match="did you mean 'resnet18'"):
        scene_judge.train(settings(scenes, tmp_path / "run", network="resnet"))
    with pytest.raises(UserError, match="--size must be at least 16, not 4"):
        scene_judge.train(settings(scenes, tmp_path / "run", size=4))
    with pytest.raises(UserError, match=r"objects\.json does not exist"):
        scene_judge.train(settings(tmp_path / "none", tmp_path / "run"))
    assert not (tmp_path / "run").exists()
