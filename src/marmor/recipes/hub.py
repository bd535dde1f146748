"""Folders of diffusers: `UNet2DModel` with a scheduler, read as generators and written from runs."""

import shutil
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from marmor.base.conditions import ClassLabel, Condition, Conditions
from marmor.base.errors import UserError, reason, unknown_name
from marmor.base.files import read_settings, write_json
from marmor.base.progress import console
from marmor.data import CLASS
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
)
from marmor.networks import diffusers_names
from marmor.networks.steps import InSteps
from marmor.networks.unet import UNet
from marmor.recipes.denoising import DiffusionGenerator
from marmor.recipes.designs import Drawing, Solver

KIND = "UNet2DModel"
UNET = "unet"
SCHEDULER = "scheduler"
OWN = "marmor.json"
"""Class names and the way of drawing, which diffusers has no place for."""

PREDICTIONS: dict[str, type[Prediction]] = {
    "epsilon": NoisePrediction,
    "sample": ImagePrediction,
    "v_prediction": VelocityPrediction,
}
SCHEDULERS: dict[str, tuple[Solver, int]] = {
    "DDPMScheduler": ("ddpm", 1000),
    "DDIMScheduler": ("ddim", 50),
    "DPMSolverMultistepScheduler": ("dpm-solver++", 20),
    "UniPCMultistepScheduler": ("unipc", 20),
    "EulerDiscreteScheduler": ("euler", 50),
    "HeunDiscreteScheduler": ("heun", 25),
}
"""Schedulers over a table of steps, the solver that each stands for, and how many steps are usual."""

STAND_IN: tuple[Solver, int] = ("unipc", 20)
"""What draws in place of a scheduler that marmor has no solver for."""

UNFOLLOWED: dict[str, object] = {
    "steps_offset": 0,
    "set_alpha_to_one": True,
    "thresholding": False,
    "solver_order": 2,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
    "shift": 1.0,
    "use_dynamic_shifting": False,
}
"""Settings of schedulers that change images and that marmor has at one value only."""

FLOW = "FlowMatchEulerDiscreteScheduler"
FLOW_STEPS = 1000

PIPELINES = {"ddim": "DDIMPipeline", "ddpm": "DDPMPipeline", "dpm-solver++": "DDPMPipeline"}
"""Pipelines of diffusers without text that can call the scheduler of a solver."""

SHARED: dict[Solver, tuple[str, ...]] = {
    "ddim": ("leading", "trailing"),
    "ddpm": ("leading",),  # along trailing times, diffusers leaves noise in the image
    "dpm-solver++": ("trailing",),
}
"""Spacings along which those draw as marmor does."""

PLAIN = Drawing(guidance=1.0, guided_from=0.0, start=1.0, clip=None)


class HubNetwork(nn.Module):
    """A UNet2DModel as a network that counts time in steps; its condition is called "class"."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, x: Tensor, step: Tensor, conditions: Conditions) -> Tensor:
        """x (B, C, H, W), steps (B,), class indices (B,) → (B, C, H, W)."""
        return self.unet(x, step, conditions.get("class")).sample


def is_hub(path: Path) -> bool:
    """Whether a folder looks like what diffusers saves."""
    if (path / "model_index.json").is_file() or (path / UNET / "config.json").is_file():
        return True
    flat = path / "config.json"
    return flat.is_file() and read_settings(flat).get("_class_name") == KIND


def load_hub(path: Path) -> DiffusionGenerator:
    """A folder with `unet/` and `scheduler/`, or with the files of both, as a generator.

    The network, its levels of noise and the meaning of its output are those of the folder. It is drawn
    by marmor's own sampler of the kind that the scheduler is, unless a person says otherwise.

    Raises UserError where the extra `hub` is not installed, and for networks and schedulers that marmor
    has no counterpart for.
    """
    unet = _part(path, UNET)
    told = read_settings(unet / "config.json")
    if told.get("_class_name") != KIND:
        raise UserError(f"{unet} holds a {told.get('_class_name')}; only {KIND} can be read.")
    names, kinds = _classes(path, told)
    model = _unet2d(unet)
    config = model.config
    if config["out_channels"] != config["in_channels"]:
        raise UserError(
            f"{unet} puts out {config['out_channels']} channels for {config['in_channels']}; networks "
            "that learn variances cannot be read."
        )
    schedule, prediction, offset, drawing = read_scheduler(_part(path, SCHEDULER))
    drawing = _own_drawing(path) or drawing
    steps = schedule.steps if isinstance(schedule, Discrete) else FLOW_STEPS
    network = InSteps(HubNetwork(model), steps, offset)
    side = config["sample_size"] or 64
    height, width = (side, side) if isinstance(side, int) else side
    return DiffusionGenerator(
        Denoiser(network, schedule, prediction, kinds).eval(),
        {CLASS: names} if names else {},
        (config["in_channels"], height, width),
        drawing,
        str(path),
        sides=2 ** (len(config["block_out_channels"]) - 1),
    )


def read_scheduler(folder: Path) -> tuple[Schedule, Prediction, int, Drawing]:
    """What a scheduler says: levels, prediction, step offset, and a way of drawing."""
    name = read_settings(folder / "scheduler_config.json").get("_class_name", "")
    scheduler = _from_pretrained(name, folder)
    config = scheduler.config
    _tell_unfollowed(name, config)
    if name == FLOW:
        return Flow(), FlowPrediction(), 0, replace(PLAIN, solver="euler", steps=50)
    if not hasattr(scheduler, "alphas_cumprod"):
        raise unknown_name("scheduler", name, [*SCHEDULERS, FLOW])
    kind = config["prediction_type"]
    if kind not in PREDICTIONS:
        raise unknown_name("prediction", kind, PREDICTIONS)
    schedule = Discrete(scheduler.alphas_cumprod)
    if kind == "epsilon" and schedule.signal(torch.ones(())) == 0:
        raise UserError(
            f"{folder} has a last step without signal and a network that predicts noise, which says "
            "nothing about an image there; such a pair cannot draw."
        )
    return schedule, PREDICTIONS[kind](), -1, _drawing_of(name, config, schedule.steps)


def _drawing_of(name: str, config: Any, table: int) -> Drawing:
    """The way of drawing that a scheduler over a table of steps stands for."""
    solver, steps = SCHEDULERS.get(name, STAND_IN)
    # Only for these two do diffusers' words for spacings mean what they mean here.
    spacing = config["timestep_spacing"] if solver in ("ddim", "ddpm") else "trailing"
    spacing = "karras" if config.get("use_karras_sigmas") else spacing
    clip = config.get("clip_sample_range", 1.0) if config.get("clip_sample") else None
    drawing = replace(
        PLAIN,
        solver=solver,
        steps=min(steps, table),
        spacing=spacing,
        clip=clip,
        noise_follows=solver != "ddim",
    )
    if solver == "ddpm" and config["variance_type"].startswith("fixed_small"):
        return replace(drawing, solver="ddim", eta=1.0)
    if config.get("algorithm_type") == "sde-dpmsolver++":
        return replace(drawing, eta=1.0)
    return drawing


def _tell_unfollowed(name: str, config: Any) -> None:
    """Says what of a scheduler is not done, so that nobody wonders why images differ."""
    if name not in SCHEDULERS and name != FLOW:
        console.print(f"note: {name} has no counterpart here; {STAND_IN[0]} draws in its place.")
    for field, usual in UNFOLLOWED.items():
        if config.get(field, usual) != usual:
            told = f"{field} {config[field]}"
            console.print(f"note: {name} has {told}, which is not followed; images will differ.")


def write_hub(generator: DiffusionGenerator, out: Path) -> None:
    """Writes a folder that diffusers loads and that gives the same images.

    Models of classes come without a pipeline, since those of diffusers name no class: load the network
    and the scheduler, and give ``class_labels``; the last one stands for none.

    Raises UserError for models and ways of drawing that diffusers has no counterpart for, and where
    ``out`` holds something already.
    """
    network, schedule, prediction = _expressible(generator)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists and is not an empty folder; name a new one.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
            folder = Path(temporary) / "model"
            _write(
                folder,
                generator,
                network,
                scheduler_config(generator.drawing, schedule, prediction),
            )
            if out.exists():
                out.rmdir()
            shutil.move(folder, out)
    except OSError as error:
        raise UserError(
            f"cannot write {out}: {error.strerror or error}. Free some space or name another folder."
        ) from error


def _write(
    folder: Path, generator: DiffusionGenerator, network: UNet, scheduler: dict[str, Any]
) -> None:
    (folder / UNET).mkdir(parents=True)
    save_file(
        diffusers_names.state_of(network), folder / UNET / "diffusion_pytorch_model.safetensors"
    )
    config = diffusers_names.config_of(network, generator.image_shape[1])
    write_json(folder / UNET / "config.json", config)
    write_json(folder / SCHEDULER / "scheduler_config.json", scheduler)
    own = {"class_names": list(generator.class_names), "drawing": asdict(generator.drawing)}
    write_json(folder / OWN, own)
    if generator.class_names:
        return
    index = {
        "_class_name": PIPELINES[generator.drawing.solver],
        UNET: ["diffusers", KIND],
        SCHEDULER: ["diffusers", scheduler["_class_name"]],
    }
    write_json(folder / "model_index.json", index)


def scheduler_config(drawing: Drawing, schedule: Discrete, prediction: str) -> dict[str, Any]:
    """scheduler_config.json of the scheduler that steps as ``drawing`` does."""
    name = next(name for name, (solver, _) in SCHEDULERS.items() if solver == drawing.solver)
    power = torch.exp(schedule.log_power)
    betas = 1 - power[1:] / power[:-1]
    return {
        "_class_name": name,
        "num_train_timesteps": schedule.steps,
        "trained_betas": betas.tolist(),
        "prediction_type": prediction,
        "timestep_spacing": drawing.spacing,
        "clip_sample": False,
        "set_alpha_to_one": True,
        "variance_type": "fixed_large",
        "final_sigmas_type": "zero",
        "algorithm_type": "dpmsolver++",
    }


def _expressible(generator: DiffusionGenerator) -> tuple[UNet, Discrete, str]:
    """The network, the table and the prediction, by diffusers' word; UserError for what it lacks."""
    denoiser, drawing = generator.denoiser, generator.drawing
    network = denoiser.network.network if isinstance(denoiser.network, InSteps) else None
    words = [word for word, kind in PREDICTIONS.items() if type(denoiser.prediction) is kind]
    if not isinstance(network, UNet) or not isinstance(denoiser.schedule, Discrete) or not words:
        raise UserError(
            f"{generator.origin} has no counterpart in diffusers; train with --network unet for that."
        )
    if others := sorted(set(denoiser.kinds) - {CLASS}):
        raise UserError(
            f"networks of diffusers know one class an image, and {generator.origin} knows "
            f"{', '.join(others)} too; it has no counterpart there."
        )
    if (
        drawing.spacing not in SHARED.get(drawing.solver, ())
        or drawing.clip is not None
        or drawing.threshold is not None
        or drawing.times is not None
        or drawing.eta
    ):
        raise UserError(
            f"no pipeline of diffusers draws as {generator.origin} does: {drawing.solver}, "
            f"{drawing.spacing} times, eta {drawing.eta:g}, clip {drawing.clip}."
        )
    return network, denoiser.schedule, words[0]


def _part(path: Path, name: str) -> Path:
    """A sub-folder, or the folder itself where all files lie together."""
    return path / name if (path / name).is_dir() else path


def _classes(path: Path, config: dict[str, Any]) -> tuple[tuple[str, ...], dict[str, Condition]]:
    """Class names and the condition that a UNet2DModel takes; nothing for one without classes."""
    if config.get("class_embed_type") is not None:
        raise UserError(
            f"{path} embeds its classes as {config['class_embed_type']}, which cannot be read."
        )
    embedded = config.get("num_class_embeds") or 0
    if not embedded:
        return (), {}
    names = tuple(str(index) for index in range(embedded))
    if (path / OWN).is_file():
        given = read_settings(path / OWN).get("class_names")
        if not isinstance(given, list) or len(given) not in (embedded, embedded - 1):
            raise UserError(f"{path / OWN} should name {embedded - 1} or {embedded} classes.")
        names = tuple(map(str, given))
    return names, {"class": ClassLabel(len(names), has_none=embedded > len(names))}


def _own_drawing(path: Path) -> Drawing | None:
    """How marmor drew the model that it wrote; None for folders of others."""
    told = read_settings(path / OWN).get("drawing") if (path / OWN).is_file() else None
    if told is None:
        return None
    try:
        return Drawing(**told)
    except TypeError:
        raise UserError(
            f"{path / OWN} holds no way of drawing; delete it, or export anew."
        ) from None


def _unet2d(folder: Path) -> Any:
    """The network; UserError where weights are missing, left over or of another shape."""
    model, told = _from_pretrained(KIND, folder, output_loading_info=True)
    for word, keys in told.items():
        if keys:
            raise UserError(f"{folder} does not fit its config.json: {word}: {next(iter(keys))}.")
    return model


def _from_pretrained(name: str, folder: Path, **options: Any) -> Any:
    """What a class of diffusers reads from a folder on this disk.

    Raises UserError where diffusers has no such class, is not installed, or refuses the folder.
    """
    try:
        import diffusers
    except ImportError:
        raise UserError(
            f"{folder} needs diffusers to be read; install it with: pip install 'marmor[hub]'"
        ) from None
    if not name.endswith(("Scheduler", "Model")) or not hasattr(diffusers, name):
        raise unknown_name("scheduler", name, [*SCHEDULERS, FLOW])
    try:
        return getattr(diffusers, name).from_pretrained(folder, local_files_only=True, **options)
    except Exception as error:  # whatever its many readers raise
        raise UserError(f"{folder} cannot be read by diffusers: {reason(error)}") from error
