"""Loading and giving away: exports, shipped weights, foreign checkpoints."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from marmor.base.conditions import ObjectSet
from marmor.base.errors import UserError
from marmor.data.scenes import OBJECTS, SHOWS
from marmor.diffusion import script_betas
from marmor.networks.context_unet import ContextUnet
from marmor.networks.judges import CourseJudge
from marmor.recipes import iclevr
from marmor.recipes.asking import ask_classes
from marmor.recipes.designs import SETS_GUIDANCE, Drawing, fading_guidance, guided
from marmor.recipes.drawing import draw
from marmor.recipes.exporting import export
from marmor.recipes.folders import HUB_PARTS, hub_folder, pretrained
from marmor.recipes.generators import EVERYWHERE
from marmor.recipes.models import find_judges, load_generator, load_judge
from marmor.recipes.object_judging import JUDGE_RECIPE, load_object_judge
from marmor.recipes.wishes import Wishes, changed
from marmor.training import RunFolder


def test_an_export_draws_what_its_run_draws_to_half_precision(run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "small", note="blobs")
    models = [load_generator(str(path)) for path in (run, tmp_path / "small")]
    asks = ask_classes(models[0], 3, ["left"])
    one, two = (
        torch.stack([item.image for item in draw(model, asks, 0, "fp32")]) for model in models
    )
    assert (one.int() - two.int()).abs().float().mean() < 2
    text = (tmp_path / "small" / "config.json").read_text()
    assert str(run.parent) not in text


def test_an_export_keeps_the_guidance_chosen_for_it(
    run: Path, judge_run: Path, tmp_path: Path
) -> None:
    export(run, tmp_path / "small", guidance=1.75)
    own, given = (load_generator(str(path)).drawing for path in (run, tmp_path / "small"))
    assert given.guidance == 1.75
    assert given == changed(own, Wishes(guidance=1.75))
    with pytest.raises(UserError, match="finite"):
        export(run, tmp_path / "other", guidance=float("nan"))
    with pytest.raises(UserError, match="knows no guidance"):
        export(judge_run, tmp_path / "other", guidance=2.0)
    assert not (tmp_path / "other").exists()


def test_a_model_of_an_earlier_version_is_told(run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "small")
    config = tmp_path / "small" / "config.json"
    config.write_text(config.read_text().replace('"conditions"', '"class_names"'))
    with pytest.raises(UserError, match="an earlier version of marmor"):
        load_generator(str(tmp_path / "small"))


def test_an_export_does_not_overwrite(run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match="not an empty folder"):
        export(run, tmp_path)


def test_shipped_weights_load() -> None:
    for name, config in pretrained().items():
        spec = f"pretrained:{name}"
        if config["recipe"] == JUDGE_RECIPE:
            assert load_object_judge(spec).objects == OBJECTS
        elif config["recipe"] == iclevr.RECIPE:
            assert load_generator(spec).vocabulary == {SHOWS: OBJECTS}
        elif config["recipe"] in HUB_PARTS:
            assert any(hub_folder(spec, config["recipe"]).rglob("*.safetensors"))
        else:
            load = load_judge if config["recipe"] == "judge" else load_generator
            assert load(spec).class_names == tuple("0123456789")


def test_the_shipped_judge_is_found_for_digits_only() -> None:
    assert set(find_judges(None, {"class": ("0", "7")})) == {EVERYWHERE}
    assert find_judges(None, {"class": ("cat", "dog")}) == find_judges(None, {}) == {}


def test_a_context_unet_checkpoint_draws(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = {f"nn_model.{k}": v for k, v in ContextUnet(16, 1, 4).state_dict().items()}
    torch.save(state, tmp_path / "model.pth")
    generator = load_generator(str(tmp_path / "model.pth"))
    assert generator.image_shape == (1, 28, 28)
    assert generator.denoiser.schedule.signal(torch.tensor(0.5)) == pytest.approx(
        script_betas(400).signal(torch.tensor(0.5)).item()
    )
    assert generator.drawing.black == 0, "the public script's MNIST lies in [0, 1]"
    few = replace(generator, drawing=changed(generator.drawing, Wishes(steps=3)))
    drawn = draw(few, ask_classes(few, 2, ["2"]), 0, "fp32")
    assert [item.ask.file for item in drawn] == ["2_001.png", "2_002.png"]


def test_a_context_unet_of_colour_images_is_taken_for_one_of_both_signs(tmp_path: Path) -> None:
    torch.save(ContextUnet(16, 3, 4).state_dict(), tmp_path / "model.pth")
    assert load_generator(str(tmp_path / "model.pth")).drawing.black == -1


def test_a_course_judge_reads_but_does_not_draw(tmp_path: Path) -> None:
    torch.save({"state_dict": CourseJudge().state_dict()}, tmp_path / "judge.pth")
    assert load_judge(str(tmp_path / "judge.pth")).judge.feature_size == 64
    with pytest.raises(UserError, match="draws nothing"):
        load_generator(str(tmp_path / "judge.pth"))


def test_guidance_fades_with_the_images_seen(run: Path, tmp_path: Path) -> None:
    seen = RunFolder.open(run).history()[-1]["images"]
    assert load_generator(str(run)).drawing.guidance == fading_guidance(seen) == 4
    longer = shutil.copytree(run, tmp_path / "longer")
    log = (longer / "metrics.jsonl").read_text()
    (longer / "metrics.jsonl").write_text(log.replace(f'"images": {seen}', '"images": 510000'))
    export(longer, tmp_path / "small")
    for path in (longer, tmp_path / "small"):
        assert load_generator(str(path)).drawing.guidance == 1.9


def test_guidance_fades_steadily_within_bounds() -> None:
    scales = [fading_guidance(count) for count in (0, 50_000, 160_000, 510_000, 10**9)]
    assert scales == [4, 4, 2.7, 1.9, 1.8]


def test_sets_of_objects_are_guided_at_all_times_however_long_training_was() -> None:
    for images in (0, 10**9):
        found = guided(Drawing(), images, {"shows": ObjectSet(24, 3)})
        assert (found.guidance, found.guided_from) == (SETS_GUIDANCE, 0.0)
