"""Folders of diffusers: read, written, and the same images either way."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from marmor.base.conditions import ClassLabel
from marmor.base.errors import UserError
from marmor.base.pixels import to_bytes
from marmor.diffusion import Denoiser, NoisePrediction, VelocityPrediction, linear_betas
from marmor.networks.steps import InSteps
from marmor.networks.unet import Shape, UNet
from marmor.recipes.denoising import DiffusionGenerator, trajectory
from marmor.recipes.designs import Drawing
from marmor.recipes.hub import SHARED, load_hub, write_hub
from marmor.recipes.models import load_generator
from marmor.recipes.wishes import times_of

peers = pytest.importorskip("diffusers")
PLAIN = Drawing("ddim", 10, spacing="leading", guidance=1.0, guided_from=0.0, start=1.0, clip=None)


FAINT = 1e-3
"""Last beta of a table with so little noise that an untrained network's images show shades."""


def own(
    classes: int = 0, prediction=NoisePrediction, drawing: Drawing = PLAIN
) -> DiffusionGenerator:
    """A generator around a small U-Net with seeded random weights."""
    torch.manual_seed(0)
    kinds = {"class": classes} if classes else {}
    network = UNet(Shape(3, (32, 64), (False, True), blocks=2, classes=kinds, groups=8))
    with torch.no_grad():
        for parameter in network.parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
            parameter.normal_(0, 1 / fan_in**0.5)
    denoiser = Denoiser(
        InSteps(network, 1000),
        linear_betas(last=FAINT),
        prediction(),
        {"class": ClassLabel(classes)} if classes else {},
    )
    names = tuple("abcdefgh"[:classes])
    return DiffusionGenerator(
        denoiser.eval(), {"class": names} if names else {}, (3, 16, 16), drawing, "a test", sides=2
    )


def drawn(generator: DiffusionGenerator, noise: Tensor, label: int | None = None) -> Tensor:
    conditions = {} if label is None else {"class": torch.full((len(noise),), label)}
    times = times_of(generator.drawing, generator.denoiser.schedule)
    *_, state = trajectory(generator, noise, conditions, times, third, "fp32")
    return state.x


def third(x: Tensor) -> Tensor:
    return torch.full_like(x, 1 / 3)


def unsaturated(pixels) -> float:
    """The share of values that are neither black nor white, and so can tell one image from another."""
    return ((pixels > 0) & (pixels < 255)).mean()


def noise(count: int = 2) -> Tensor:
    return 0.4 * torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    ("solver", "spacing"),
    [(solver, spacing) for solver, spacings in SHARED.items() for spacing in spacings],
)
def test_diffusers_draws_the_same_images_from_what_marmor_writes(
    solver, spacing, tmp_path: Path, monkeypatch
) -> None:
    """Fresh noise, where there is some, is a third everywhere for both."""
    generator = own(drawing=replace(PLAIN, solver=solver, spacing=spacing))
    write_hub(generator, tmp_path / "model")
    pipeline = peers.DiffusionPipeline.from_pretrained(tmp_path / "model")
    pipeline.set_progress_bar_config(disable=True)
    start = noise()
    for module in ("ddim.pipeline_ddim", "ddpm.pipeline_ddpm"):
        path = f"diffusers.pipelines.{module}.randn_tensor"
        monkeypatch.setattr(path, lambda *_, **__: start)
    fresh = "diffusers.schedulers.scheduling_ddpm.randn_tensor"
    monkeypatch.setattr(fresh, lambda shape, **_: torch.full(shape, 1 / 3))
    theirs = pipeline(batch_size=2, num_inference_steps=10, output_type="np").images
    ours = to_bytes(drawn(generator, start)).permute(0, 2, 3, 1).numpy()
    assert unsaturated(ours) > 0.3
    assert abs(theirs * 255 - ours).max() <= 1


@pytest.mark.parametrize("prediction", [NoisePrediction, VelocityPrediction])
def test_what_marmor_writes_comes_back_the_same(prediction, tmp_path: Path) -> None:
    generator = own(4, prediction, replace(PLAIN, guidance=2.0))
    write_hub(generator, tmp_path / "model")
    back = load_generator(str(tmp_path / "model"))
    assert back.class_names == ("a", "b", "c", "d")
    assert back.image_shape == (3, 16, 16)
    assert back.sides == 2
    assert back.drawing == generator.drawing
    assert torch.allclose(drawn(back, noise(), 2), drawn(generator, noise(), 2), atol=1e-4)


def small_unet(**changes):
    torch.manual_seed(1)
    return peers.UNet2DModel(
        sample_size=16,
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        **changes,
    )


@pytest.mark.parametrize(
    ("scheduler", "solver", "calls"),
    [
        (peers.DDIMScheduler(clip_sample=False, beta_end=FAINT), "ddim", 50),
        (peers.DDIMScheduler(beta_end=FAINT), "ddim", 50),  # clips, the noise estimate stays
        (peers.DDPMScheduler(num_train_timesteps=50), "ddim", 50),  # small variance: eta 1
        (peers.DDPMScheduler(num_train_timesteps=50, variance_type="fixed_large"), "ddpm", 50),
    ],
    ids=["ddim", "ddim defaults", "ddpm defaults", "ddpm large"],
)
def test_a_folder_that_diffusers_saved_gives_its_images(
    scheduler, solver, calls, tmp_path: Path, monkeypatch
) -> None:
    kind = peers.DDIMPipeline if isinstance(scheduler, peers.DDIMScheduler) else peers.DDPMPipeline
    pipeline = kind(small_unet(), scheduler)
    pipeline.save_pretrained(tmp_path)
    pipeline.set_progress_bar_config(disable=True)
    start = noise()
    for module in ("ddim.pipeline_ddim", "ddpm.pipeline_ddpm"):
        path = f"diffusers.pipelines.{module}.randn_tensor"
        monkeypatch.setattr(path, lambda *_, **__: start)
    fresh = "diffusers.schedulers.scheduling_ddpm.randn_tensor"
    monkeypatch.setattr(fresh, lambda shape, **_: torch.full(shape, 1 / 3))
    theirs = pipeline(batch_size=2, num_inference_steps=calls, output_type="np").images
    generator = load_hub(tmp_path)
    assert (generator.drawing.solver, generator.drawing.spacing) == (solver, "leading")
    ours = to_bytes(drawn(generator, start)).permute(0, 2, 3, 1).numpy()
    assert unsaturated(ours) > 0.05
    assert abs(theirs * 255 - ours).max() <= 1


def test_the_network_of_classes_says_in_diffusers_what_it_says_here(tmp_path: Path) -> None:
    generator = own(4)
    write_hub(generator, tmp_path / "model")
    model = peers.UNet2DModel.from_pretrained(tmp_path / "model" / "unet")
    x, label, step = noise(), torch.tensor([1, 4]), 700  # the last embedding is none
    with torch.no_grad():
        theirs = model(x, step - 1, label).sample
        time = torch.full((2,), step / 1000)
        ours = generator.denoiser.network(x, time, {"class": label})
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_person_draws_the_same_guided_classes_with_the_parts_in_diffusers(tmp_path: Path) -> None:
    generator = own(4, drawing=replace(PLAIN, guidance=2.5))
    write_hub(generator, tmp_path / "model")
    model = peers.UNet2DModel.from_pretrained(tmp_path / "model" / "unet")
    scheduler = peers.DDIMScheduler.from_pretrained(tmp_path / "model" / "scheduler")
    scheduler.set_timesteps(10)
    x, none = noise(), model.config["num_class_embeds"] - 1
    with torch.no_grad():
        for step in scheduler.timesteps:
            said, unsaid = (model(x, step, torch.tensor([k, k])).sample for k in (2, none))
            x = scheduler.step(unsaid + 2.5 * (said - unsaid), step, x).prev_sample
    ours = to_bytes(drawn(generator, noise(), 2))
    assert unsaturated(ours.numpy()) > 0.3
    assert (ours.int() - to_bytes(x).int()).abs().max() <= 1
    assert (ours.int() - to_bytes(drawn(generator, noise(), 1)).int()).abs().max() > 1


def test_schedulers_without_a_counterpart_and_settings_not_followed_are_told(
    tmp_path: Path, capsys
) -> None:
    small_unet().save_pretrained(tmp_path / "unet")
    peers.PNDMScheduler(steps_offset=1).save_pretrained(tmp_path / "scheduler")
    assert load_hub(tmp_path).drawing.solver == "unipc"
    told = capsys.readouterr().out
    assert "PNDMScheduler has no counterpart here; unipc draws in its place" in told
    assert "steps_offset 1, which is not followed" in told


def test_flat_folders_are_read_too(tmp_path: Path) -> None:
    write_hub(own(), tmp_path / "model")
    for part in ("unet", "scheduler"):
        for file in (tmp_path / "model" / part).iterdir():
            file.rename(tmp_path / "model" / file.name)
        (tmp_path / "model" / part).rmdir()
    (tmp_path / "model" / "model_index.json").unlink()
    back = replace(load_generator(str(tmp_path / "model")), drawing=PLAIN)
    assert torch.allclose(drawn(back, noise()), drawn(own(), noise()), atol=1e-4)


def test_a_conditional_folder_draws_its_classes_and_refuses_guidance(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = peers.UNet2DModel(
        sample_size=16,
        block_out_channels=(32,),
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        layers_per_block=1,
        num_class_embeds=3,
    )
    model.save_pretrained(tmp_path / "unet")
    peers.DDPMScheduler(prediction_type="v_prediction").save_pretrained(tmp_path / "scheduler")
    generator = load_hub(tmp_path)
    assert generator.class_names == ("0", "1", "2")
    assert isinstance(generator.denoiser.prediction, VelocityPrediction)
    few = replace(generator, drawing=replace(generator.drawing, steps=3))
    assert (drawn(few, noise(), 0) - drawn(few, noise(), 1)).abs().max() > 0
    guided = replace(few, drawing=replace(few.drawing, guidance=2.0))
    with pytest.raises(UserError, match="never learned images without a class"):
        drawn(guided, noise(), 0)


def broken(folder: Path, change) -> Path:
    write_hub(own(), folder)
    change(folder)
    return folder


def edited(name: str, **values):
    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


SCHEDULER = "scheduler/scheduler_config.json"
WRONG = [
    (edited("unet/config.json", _class_name="UNet2DConditionModel"), "only UNet2DModel"),
    (edited(SCHEDULER, _class_name="DDIMSheduler"), "DDIMScheduler"),
    (edited(SCHEDULER, prediction_type="x0"), "prediction"),
    (edited(SCHEDULER, trained_betas=None, beta_schedule="exp"), "cannot be read by diffusers"),
    (edited("unet/config.json", class_embed_type="timestep", num_class_embeds=3), "embeds its"),
    (edited("unet/config.json", layers_per_block=3), "does not fit its config|cannot be read by"),
    (edited(SCHEDULER, rescale_betas_zero_snr=True), "without signal"),
    (lambda folder: (folder / SCHEDULER).unlink(), "does not exist"),
    (lambda folder: (folder / "unet/config.json").write_text("{"), "cannot be read as JSON"),
    (
        lambda folder: (folder / "unet/diffusion_pytorch_model.safetensors").write_bytes(b"1234"),
        "cannot be read by diffusers",
    ),
]


@pytest.mark.parametrize(("change", "wrong"), WRONG)
def test_what_cannot_be_read_is_one_sentence(change, wrong: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=wrong) as caught:
        load_generator(str(broken(tmp_path / "model", change)))
    assert "\n" not in str(caught.value)


def test_models_without_a_counterpart_are_refused(tmp_path: Path) -> None:
    model = own(classes=2)
    it = model.denoiser
    kinds = {**it.kinds, "domain": ClassLabel(2)}
    two = replace(model, denoiser=Denoiser(it.network, it.schedule, it.prediction, kinds))
    with pytest.raises(UserError, match="one class an image, and a test knows domain too"):
        write_hub(two, tmp_path / "two")
    with pytest.raises(UserError, match="no counterpart in diffusers"):
        write_hub(load_generator("pretrained:digits"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    for other in ({"solver": "unipc"}, {"clip": 1.0}, {"eta": 0.5}, {"spacing": "karras"}):
        with pytest.raises(UserError, match="no pipeline of diffusers draws"):
            write_hub(own(drawing=replace(PLAIN, **other)), tmp_path / "out")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="cannot write"):
        write_hub(own(), tmp_path / "file" / "model")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    with pytest.raises(UserError, match="not an empty folder"):
        write_hub(own(), tmp_path / "full")
