"""`marmor train tiny-text-to-image` on a few small pictures."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from marmor.base.errors import UserError
from marmor.base.files import write_json
from marmor.cli import main
from marmor.data.scenes import write_captioned
from marmor.language import ClipSizes
from marmor.recipes import folders, tiny_clip, tiny_text_to_image
from marmor.recipes.captioned_data import load_pictures
from marmor.recipes.personalized import load_personalized
from marmor.recipes.text_to_image import load_pipeline
from marmor.recipes.tiny_autoencoder import Coding, code, there_and_back, whiten
from marmor.recipes.tiny_parts import PipelineSizes, autoencoder, words_of_clip
from marmor.recipes.tiny_text_to_image import TextToImage, TinyTextToImageSettings, train
from marmor.training import Budget, RunFolder, fit, load_weights

pytest.importorskip("diffusers")

TINY = PipelineSizes(coder=(8, 8), unet=(16, 16), groups=4, text=(32, 1))
Settings = Callable[..., TinyTextToImageSettings]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("captioned") / "scenes"
    write_captioned(12, 2, path, seed=0, side=16, watch=lambda share: None)
    return path


@pytest.fixture
def settings(scenes: Path, tmp_path: Path, monkeypatch) -> Settings:
    monkeypatch.setattr(tiny_text_to_image, "SHEET_STEPS", 2)
    plain = TinyTextToImageSettings(
        data=str(scenes), run=tmp_path / "run", steps=3, batch=4, precision="fp32"
    )
    return lambda **changes: replace(plain, **changes)


@pytest.fixture
def trained(settings: Settings) -> Path:
    return train(settings(), TINY).path


def weights(pipeline: Path) -> dict[str, bytes]:
    return {str(p.relative_to(pipeline)): p.read_bytes() for p in pipeline.rglob("*.safetensors")}


def test_the_folder_is_read_by_diffusers_and_gives_the_same(trained: Path, draw) -> None:
    pipeline = load_pipeline(trained / "pipeline")
    assert pipeline.safety_checker is None
    assert pipeline.config.requires_safety_checker is False
    kept = RunFolder.open(trained).average_weights()
    for part in ("unet", "text_encoder"):
        own = getattr(pipeline, part).state_dict()
        assert all(torch.equal(kept[f"{part}.{name}"], own[name]) for name in own)
    folder = RunFolder(trained / "autoencoder").checkpoints.latest()
    assert folder is not None
    coder = load_weights(folder / "average.safetensors")
    whole = pipeline.vae.state_dict()
    assert {k for k, v in whole.items() if not torch.equal(coder[k], v)} == {
        f"{where}.{kind}"
        for where in ("quant_conv", "post_quant_conv")
        for kind in ("weight", "bias")
    }
    images = draw(pipeline, "a red cube")
    assert images.shape == (3, 16, 16)
    again = load_pipeline(trained / "pipeline")
    assert torch.equal(draw(again, "a red cube"), images)
    assert not torch.equal(draw(again, "a blue sphere next to a gray cube"), images)
    assert (trained / "figures" / "prompts.png").is_file()
    assert (trained / "figures" / "autoencoder.png").is_file()
    told = json.loads((trained / "summary.json").read_text())
    assert told["autoencoder.psnr"] > 0
    assert len(told["prompts"]) == 8


def test_an_export_draws_alike_wherever_a_pipeline_is_taken(
    trained: Path, scenes: Path, tmp_path: Path, monkeypatch, draw
) -> None:
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import (
        StableDiffusionPipeline,
    )
    from safetensors.torch import load_file

    out = tmp_path / "weights" / "tiny-text-to-image"
    main(["export", str(trained), "--out", str(out)])
    for part in ("unet", "vae", "text_encoder"):
        (file,) = (out / "pipeline" / part).glob("*.safetensors")
        found = {v.dtype for v in load_file(file).values() if v.is_floating_point()}
        assert found == {torch.float16}
    assert not [value for value in json.loads((out / "config.json").read_text()) if "/" in value]
    theirs = StableDiffusionPipeline.from_pretrained(out / "pipeline")
    theirs.set_progress_bar_config(disable=True)
    monkeypatch.setattr(folders, "WEIGHTS", tmp_path / "weights")
    shipped = load_personalized(Path("pretrained:tiny-text-to-image"))
    assert {p.dtype for p in shipped.unet.parameters()} == {torch.float32}
    image = draw(shipped, "a red cube")
    assert torch.equal(image, draw(theirs, "a red cube"))
    assert torch.equal(image, draw(load_personalized(out), "a red cube"))
    own = draw(load_personalized(trained), "a red cube")
    torch.testing.assert_close(image, own, atol=0.02, rtol=0)
    words = ["--concept", f"<new1>={scenes / 'new' / 'red_cone'}", "--word", "object"]
    where = ["--pipeline", "pretrained:tiny-text-to-image", "--run", str(tmp_path / "words")]
    main(["personalize", "textual-inversion", *where, *words, "--steps", "1"])
    assert load_personalized(tmp_path / "words").tokenizer.get_vocab()["<new1>"]
    with pytest.raises(UserError, match=r"recipe 'textual-inversion', not of 'tiny-text-to-image'"):
        load_pipeline(tmp_path / "words")


def test_each_channel_of_the_latents_has_mean_0_and_variance_1(
    trained: Path, settings: Settings
) -> None:
    pipeline = load_pipeline(trained / "pipeline")
    assert pipeline.vae.config.scaling_factor == 1
    mean, deviation = code(pipeline.vae, load_pictures(settings(), 0).seen.images)
    over = (0, 2, 3)
    variance = mean.var(over, correction=0) + deviation.square().mean(over)
    torch.testing.assert_close(mean.mean(over), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(variance, torch.ones(4), atol=1e-3, rtol=0)


def test_whitening_leaves_what_comes_back(settings: Settings) -> None:
    images = load_pictures(settings(), 0).seen.images
    torch.manual_seed(0)
    coder = autoencoder(TINY, 16)
    before, coded = there_and_back(coder, images.images), code(coder, images)
    expected = whiten(coder, *coded)
    for found, wanted in zip(code(coder, images), expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(expected[0], coded[0], atol=0.1)
    torch.testing.assert_close(there_and_back(coder, images.images), before, atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", [Coding, TextToImage])
def test_an_interrupted_run_goes_on_bit_for_bit(
    method: type, trained: Path, settings: Settings, tmp_path: Path, interrupted
) -> None:
    stopped = tmp_path / "stopped"
    with interrupted(method, 1), pytest.raises(KeyboardInterrupt):
        train(settings(run=stopped), TINY)
    assert not (stopped / "pipeline").exists()
    main(["resume", str(stopped)])
    assert weights(stopped / "pipeline") == weights(trained / "pipeline")
    assert (stopped / "figures" / "prompts.png").read_bytes() == (
        trained / "figures" / "prompts.png"
    ).read_bytes()


def test_a_longer_budget_is_the_networks_alone(trained: Path) -> None:
    before = weights(trained / "pipeline")
    main(["resume", str(trained), "--steps", "6"])
    after = weights(trained / "pipeline")
    assert before.keys() == after.keys()
    assert {Path(name).parts[0] for name in before if before[name] != after[name]} == {
        "unet",
        "text_encoder",
    }
    assert RunFolder(trained).history()[-1]["step"] == 6
    assert RunFolder(trained / "autoencoder").history()[-1]["step"] == 3


def test_latents_stay_what_a_network_that_has_begun_knows(
    settings: Settings, tmp_path: Path, interrupted
) -> None:
    run = RunFolder(tmp_path / "run")
    with interrupted(TextToImage, 1), pytest.raises(KeyboardInterrupt):
        train(settings(), TINY)
    assert not run.history()  # no line of the log yet, but a checkpoint
    main(["resume", str(run.path), "--steps", "6"])
    assert run.history()[-1]["step"] == 6
    assert RunFolder(run.path / "autoencoder").history()[-1]["step"] == 3


def test_a_pipeline_of_a_shorter_budget_is_not_there_while_a_longer_one_lasts(
    trained: Path, interrupted
) -> None:
    with interrupted(TextToImage, 4), pytest.raises(SystemExit):
        main(["resume", str(trained), "--steps", "6"])
    assert not (trained / "pipeline").exists()
    with pytest.raises(UserError, match="has no pipeline yet"):
        folders.hub_folder(trained, "tiny-text-to-image")


def test_minutes_are_those_of_both_trainings(trained: Path, fails) -> None:
    whole = RunFolder(trained).history()[-1]["seconds"]
    first = tiny_text_to_image.coder_seconds(RunFolder(trained))
    assert first == RunFolder(trained / "autoencoder").history()[-1]["seconds"] > 0
    config = (trained / "config.json").read_bytes()
    write_json(
        trained / "config.json",
        changed_budget(json.loads(config), minutes=(whole + first) / 60, steps=None),
    )
    between = str((whole + first / 2) / 60)
    told = fails(lambda: main(["resume", str(trained), "--minutes", between]))
    assert f"has trained for {(whole + first) / 60:.1f} minutes" in told


def changed_budget(config: dict, **budget: float | None) -> dict:
    asked = config["settings"]["asked"] | budget
    return config | {"settings": config["settings"] | {"asked": asked}}


def test_personalization_takes_the_pipeline(trained: Path, scenes: Path, tmp_path: Path) -> None:
    words = ["--concept", f"<new1>={scenes / 'new' / 'red_cone'}", "--word", "object"]
    where = ["--pipeline", str(trained / "pipeline"), "--run", str(tmp_path / "words")]
    main(["personalize", "textual-inversion", *where, *words, "--steps", "1"])
    assert (tmp_path / "words" / "embeddings" / "new1").is_dir()


def test_a_clips_words_are_taken_up_and_trained_on(settings: Settings, tmp_path: Path) -> None:
    sizes = ClipSizes(vision=(32, 1), text=(32, 2), space=16, patch=4, context=24)
    wishes = tiny_clip.TinyClipSettings(
        data=settings().data, run=tmp_path / "clip", steps=1, batch=4, precision="fp32"
    )
    clip = tiny_clip.train(wishes, sizes).path
    words, again = words_of_clip(clip), words_of_clip(clip / "clip")
    before = words.encoder.state_dict()
    assert all(torch.equal(v, before[k]) for k, v in again.encoder.state_dict().items())
    run = train(settings(clip=clip, steps=1), TINY).path
    pipeline = load_pipeline(run / "pipeline")
    assert pipeline.tokenizer.model_max_length == 24
    assert (
        pipeline.tokenizer("a red cube")["input_ids"] == words.tokenizer("a red cube")["input_ids"]
    )
    after = pipeline.text_encoder.state_dict()
    assert after.keys() == before.keys()
    apart = [(after[k] - before[k]).abs().max().item() for k in before]
    assert 0 < max(apart) < 0.1


def test_a_step_is_drawn_anew_and_leaves_some_captions_out(settings: Settings) -> None:
    data = load_pictures(settings(), 0).seen
    words = tiny_text_to_image._words(settings(), TINY, data)
    latents = torch.zeros(12, 4, 8, 8), torch.ones(12, 4, 8, 8)
    method = TextToImage(data, latents, words, TINY, batch=120, seed=0)
    batch, again, later = method.draw(0), method.draw(0), method.draw(1)
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    assert not torch.equal(batch["noise"], later["noise"])
    assert not torch.equal(batch["noise"], batch["latents"])
    silent = (batch["tokens"] == method.nothing).all(1)
    assert 2 <= silent.sum() <= 30
    assert method.nothing.tolist()[1:] == [words.tokenizer.eos_token_id] * 31
    assert batch["steps"].sort().values.diff().max() <= 9
    asked = words.tokenizer(["a red cube"], padding="max_length", return_tensors="pt")
    assert asked["input_ids"].shape == (1, 32)


def test_both_losses_fall(settings: Settings) -> None:
    data = load_pictures(settings(), 0).seen
    coding = Coding(data.images, TINY, 0)
    words = tiny_text_to_image._words(settings(), TINY, data)
    latents = torch.randn(12, 4, 8, 8), torch.zeros(12, 4, 8, 8)
    for method in (coding, TextToImage(data, latents, words, TINY, batch=8, seed=0)):
        fixed = method.draw(0)
        losses = []
        for _ in range(12):
            method.module.zero_grad()
            loss = method.turn.loss(method.module, fixed)["loss"]
            loss.backward()
            for part in method.turn.optimizers.parts:
                part.step()
            losses.append(loss.item())
        assert losses[-1] < 0.9 * losses[0]
    back = there_and_back(coding.module, data.images.images[:2])
    assert back.shape == (2, 3, 16, 16)
    assert back.abs().max() <= 1


WRONG = [
    ({"batch": 0}, "--batch must be at least 1"),
    ({"minutes": 1.0}, "one unit"),
    ({"data": "nowhere"}, "does not exist"),
    ({"clip": Path("nowhere")}, "does not exist"),
]


@pytest.mark.parametrize(("changes", "wrong"), WRONG)
def test_wishes_that_cannot_be_are_one_sentence(changes, wrong, settings: Settings) -> None:
    asked = settings(**changes)
    with pytest.raises(UserError, match=wrong):
        train(asked, TINY)
    assert not asked.run.exists()


def test_no_clip_is_told(settings: Settings, tiny_siglip: Path) -> None:
    with pytest.raises(UserError, match="holds no CLIP"):
        train(settings(clip=tiny_siglip), TINY)


def test_minutes_are_shared_between_the_two(settings: Settings, monkeypatch) -> None:
    given = []

    def fits(method, run: RunFolder, loop, watch):
        given.append(loop.budget.minutes)
        steps = replace(loop, budget=Budget(steps=2))
        return fit(method, run, steps, watch)

    monkeypatch.setattr(tiny_text_to_image, "fit", fits)
    run = train(settings(minutes=10.0, steps=None), TINY)
    assert given == [1.0, 10 - tiny_text_to_image.coder_seconds(run) / 60]
    assert TinyTextToImageSettings().budget.minutes == 65
