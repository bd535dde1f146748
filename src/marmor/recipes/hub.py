"""Folders of diffusers: `UNet2DModel` with a scheduler, read as generators and written from runs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from marmor.base.conditions import ClassLabel, Conditions
from marmor.base.errors import UserError, unknown_name
from marmor.base.files import atomic, read_json, write_json
from marmor.diffusion import (
    Denoiser,
    Discrete,
    Flow,
    FlowPrediction,
    ImagePrediction,
    NoisePrediction,
    Prediction,
    Schedule,
    VelocityPrediction,
    cosine_betas,
    from_betas,
    linear_betas,
    scaled_linear_betas,
    sigmoid_betas,
    zero_terminal_snr,
)
from marmor.networks import diffusers_names
from marmor.networks.steps import InSteps
from marmor.networks.unet import UNet
from marmor.recipes.designs import Drawing, Solver
from marmor.recipes.generators import Generator

UNET = "unet"
SCHEDULER = "scheduler"
CLASSES = "marmor.json"
"""Class names, which diffusers has no place for."""

PREDICTIONS: dict[str, type[Prediction]] = {
    "epsilon": NoisePrediction,
    "sample": ImagePrediction,
    "v_prediction": VelocityPrediction,
}
TABLES = {
    "linear": linear_betas,
    "scaled_linear": scaled_linear_betas,
    "sigmoid": sigmoid_betas,
}
SCHEDULERS: dict[str, tuple[Solver, int]] = {
    "DDPMScheduler": ("ddpm", 1000),
    "DDIMScheduler": ("ddim", 50),
    "DPMSolverMultistepScheduler": ("dpm-solver++", 20),
    "UniPCMultistepScheduler": ("unipc", 20),
    "EulerDiscreteScheduler": ("euler", 50),
    "HeunDiscreteScheduler": ("heun", 25),
}
"""The solver that each stands for, and how many steps are usual."""

PIPELINES = {"ddim": "DDIMPipeline", "ddpm": "DDPMPipeline", "dpm-solver++": "DDPMPipeline"}
"""Pipelines of diffusers without text that can call the scheduler of a solver."""

FLOW = "FlowMatchEulerDiscreteScheduler"


class HubNetwork(nn.Module):
    """A UNet2DModel as a network that counts time in steps; conditions are called "class"."""

    def __init__(self, unet: nn.Module, classes: int, has_none: bool) -> None:
        super().__init__()
        self.unet, self.classes, self.has_none = unet, classes, has_none

    def forward(self, x: Tensor, step: Tensor, conditions: Conditions) -> Tensor:
        """x (B, C, H, W), steps (B,), class indices (B,) → (B, C, H, W)."""
        labels = conditions.get("class")
        if labels is not None and not self.has_none and bool((labels == self.classes).any()):
            raise UserError(
                "this model never learned images without a class, so guidance has nothing to start "
                "from; use --guidance 1."
            )
        return self.unet(x, step, labels).sample


def is_hub(path: Path) -> bool:
    """Whether a folder looks like what diffusers saves."""
    return (path / "model_index.json").is_file() or (path / UNET / "config.json").is_file()


def load_hub(path: Path) -> Generator:
    """A folder with `unet/` and `scheduler/` as a generator.

    Raises UserError where the extra `hub` is not installed, and for networks, schedulers and settings
    that marmor has no counterpart for.
    """
    config = read_json(path / UNET / "config.json")
    if config.get("_class_name") != "UNet2DModel":
        raise UserError(
            f"{path / UNET} holds a {config.get('_class_name')}; only UNet2DModel can be read."
        )
    model = _unet2d(path / UNET)
    channels = model.config["in_channels"]
    if model.config["out_channels"] != channels:
        raise UserError(
            f"{path / UNET} puts out {model.config['out_channels']} channels for {channels}; networks "
            "that learn variances cannot be read yet."
        )
    schedule, prediction, offset, drawing = read_scheduler(
        path / SCHEDULER / "scheduler_config.json"
    )
    embedded = model.config.get("num_class_embeds") or 0
    names = tuple(str(index) for index in range(embedded))
    if embedded and (path / CLASSES).is_file():
        names = tuple(read_json(path / CLASSES)["class_names"])
    kinds = {"class": ClassLabel(len(names))} if embedded else {}
    steps = schedule.steps if isinstance(schedule, Discrete) else 1000
    network = InSteps(HubNetwork(model, len(names), embedded > len(names)), steps, offset)
    side = model.config["sample_size"] or 64
    height, width = (side, side) if isinstance(side, int) else side
    return Generator(
        Denoiser(network, schedule, prediction, kinds).eval(),
        names,
        (channels, height, width),
        drawing,
        str(path),
        sides=2 ** (len(model.config["block_out_channels"]) - 1),
    )


def read_scheduler(path: Path) -> tuple[Schedule, Prediction, int, Drawing]:
    """What a scheduler's config says: levels, prediction, step offset, and a way of drawing."""
    config = read_json(path)
    name = config.get("_class_name", "")
    if name == FLOW:
        return Flow(), FlowPrediction(), 0, replace(PLAIN, solver="euler", steps=50)
    if name not in SCHEDULERS:
        raise unknown_name("scheduler", name, [*SCHEDULERS, FLOW])
    kind = config.get("prediction_type", "epsilon")
    if kind not in PREDICTIONS:
        raise unknown_name("prediction", kind, PREDICTIONS)
    schedule = _table(config)
    if kind == "epsilon" and schedule.signal(torch.ones(())) == 0:
        raise UserError(
            f"{path} has a last step without signal and a network that predicts noise, which says "
            "nothing about an image there; such a pair cannot draw."
        )
    solver, steps = SCHEDULERS[name]
    spacing = "karras" if config.get("use_karras_sigmas") else config.get("timestep_spacing")
    clip = config.get("clip_sample_range", 1.0) if config.get("clip_sample") else None
    drawing = replace(
        PLAIN,
        solver=solver,
        steps=min(steps, schedule.steps),
        spacing=spacing or "leading",
        clip=clip,
    )
    return schedule, PREDICTIONS[kind](), -1, drawing


PLAIN = Drawing(guidance=1.0, guided_from=0.0, start=1.0, clip=None)


def write_hub(generator: Generator, out: Path) -> None:
    """Writes a folder that diffusers loads and that gives the same images.

    Raises UserError for models that diffusers has no counterpart for, and where ``out`` holds
    something already.
    """
    network, schedule = generator.denoiser.network, generator.denoiser.schedule
    inner = network.network if isinstance(network, InSteps) else network
    kinds = {type(made): name for name, made in ((n, p()) for n, p in PREDICTIONS.items())}
    prediction = kinds.get(type(generator.denoiser.prediction))
    if not isinstance(inner, UNet) or not isinstance(schedule, Discrete) or prediction is None:
        raise UserError(
            f"{generator.origin} has no counterpart in diffusers; train with --network unet for that."
        )
    if generator.drawing.solver not in PIPELINES:
        raise UserError(f"no pipeline of diffusers draws with {generator.drawing.solver}.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists and is not an empty folder; name a new one with --out.")
    with atomic(out / UNET / "diffusion_pytorch_model.safetensors") as temporary:
        save_file(diffusers_names.state_of(inner), temporary)
    write_json(
        out / UNET / "config.json", diffusers_names.config_of(inner, generator.image_shape[1])
    )
    scheduler = scheduler_config(generator.drawing, schedule, prediction)
    write_json(out / SCHEDULER / "scheduler_config.json", scheduler)
    index = {
        "_class_name": PIPELINES[generator.drawing.solver],
        UNET: ["diffusers", "UNet2DModel"],
        SCHEDULER: ["diffusers", scheduler["_class_name"]],
    }
    write_json(out / "model_index.json", index)
    if generator.class_names:
        write_json(out / CLASSES, {"class_names": list(generator.class_names)})


def scheduler_config(drawing: Drawing, schedule: Discrete, prediction: str) -> dict[str, Any]:
    """scheduler_config.json of the scheduler that steps as ``drawing`` does."""
    name = next(name for name, (solver, _) in SCHEDULERS.items() if solver == drawing.solver)
    power = torch.exp(schedule.log_power)
    betas = 1 - power[1:] / power[:-1]
    spacing = "trailing" if drawing.spacing == "uniform" else drawing.spacing
    return {
        "_class_name": name,
        "num_train_timesteps": schedule.steps,
        "trained_betas": betas.tolist(),
        "prediction_type": prediction,
        "timestep_spacing": "trailing" if spacing == "karras" else spacing,
        "use_karras_sigmas": spacing == "karras",
        "clip_sample": drawing.clip is not None,
        "clip_sample_range": drawing.clip or 1.0,
        "set_alpha_to_one": True,
        "variance_type": "fixed_large",
        "final_sigmas_type": "zero",
        "algorithm_type": "sde-dpmsolver++" if drawing.eta else "dpmsolver++",
    }


def _table(config: dict[str, Any]) -> Discrete:
    """The table of signal that a scheduler's config describes."""
    steps = config.get("num_train_timesteps", 1000)
    if config.get("trained_betas") is not None:
        table = from_betas(torch.tensor(config["trained_betas"], dtype=torch.float64))
    elif config.get("beta_schedule", "linear") == "squaredcos_cap_v2":
        table = cosine_betas(steps)
    elif (kind := config.get("beta_schedule", "linear")) in TABLES:
        ends = config.get("beta_start", 1e-4), config.get("beta_end", 0.02)
        table = TABLES[kind](steps, *ends)
    else:
        raise unknown_name("beta schedule", kind, [*TABLES, "squaredcos_cap_v2"])
    return zero_terminal_snr(table) if config.get("rescale_betas_zero_snr") else table


def _unet2d(folder: Path) -> Any:
    try:
        from diffusers.models.unets.unet_2d import UNet2DModel
    except ImportError:
        raise UserError(
            f"{folder} needs diffusers to be read; install it with: pip install 'marmor[hub]'"
        ) from None
    try:
        return UNet2DModel.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, RuntimeError, json.JSONDecodeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{folder} cannot be read by diffusers: {reason}") from error
