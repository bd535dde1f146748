"""Text-to-image pipelines of diffusers as folders on this disk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from marmor.base.errors import UserError, reason
from marmor.base.files import fingerprint_of, read_settings
from marmor.language import has_weights
from marmor.recipes.folders import hub_folder
from marmor.training import Precision, resolve
from marmor.training.processes import processes

KIND = "StableDiffusionPipeline"
INDEX = "model_index.json"
PARTS = ("tokenizer", "text_encoder", "unet", "vae", "scheduler")
CONFIGS = {
    "text_encoder": "config.json",
    "unet": "config.json",
    "vae": "config.json",
    "scheduler": "scheduler_config.json",
}
"""What says how a part is built."""
VOCABULARY = ("vocab.json", "merges.txt")
"""What a CLIP's tokenizer is made of, where it is not all in tokenizer.json."""
READ = (".json", ".txt", ".model", ".safetensors", ".bin")
"""Endings of the files that a part may be made of."""
PLAIN_SIDE = 16
"""Of latents along a side, how many may be attended to by plain products: their memory grows by the fourth
power."""


def pipeline_folder(spec: Path) -> Path:
    """Where a pipeline lies: `pretrained:NAME`, a run of `marmor train tiny-text-to-image`, or the folder."""
    return hub_folder(spec, "tiny-text-to-image")


def load_pipeline(folder: Path) -> Any:
    """A StableDiffusionPipeline in float32, its networks frozen.

    ``folder`` is one of diffusers, a run of `marmor train tiny-text-to-image`, or `pretrained:NAME`. Raises
    UserError where the folder is none, lacks a part, or cannot be read, and without diffusers.
    """
    folder = pipeline_folder(folder)
    _check(folder)
    try:
        import diffusers
        import transformers.utils.logging as transformers_logging
        from diffusers.utils import logging
    except ImportError:
        raise UserError(
            f"{folder} needs diffusers to be read; install it with: pip install 'marmor[hub]'"
        ) from None
    logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    try:
        pipeline = getattr(diffusers, KIND).from_pretrained(folder, local_files_only=True)
    except Exception as error:  # whatever its many readers raise
        raise UserError(f"{folder} cannot be read by diffusers: {reason(error)}") from error
    pipeline.set_progress_bar_config(disable=True)
    for part in (pipeline.text_encoder, pipeline.unet, pipeline.vae):
        part.float().eval().requires_grad_(False)
    return pipeline


def no_pipeline(folder: Path) -> UserError:
    """The error for a folder that is neither a pipeline nor a run that holds one."""
    lacks = f"is no pipeline: it has no {INDEX}" if folder.exists() else "does not exist"
    return UserError(
        f"{folder} {lacks}; name a {KIND} folder of diffusers, a run of "
        "`marmor train tiny-text-to-image` or of `marmor personalize`, or pretrained:tiny-text-to-image."
    )


def fingerprint(folder: Path) -> str:
    """32 hex digits of the files of all parts, wherever the folder lies.

    Raises UserError where the folder is no pipeline or lacks a part.
    """
    folder = pipeline_folder(folder)
    _check(folder)
    files = [
        path
        for part in PARTS
        for path in sorted((folder / part).rglob("*"))
        if path.suffix in READ and path.is_file()
    ]
    return fingerprint_of((path.relative_to(folder).as_posix(), path) for path in files)


def training_scheduler(pipeline: Any) -> Any:
    """The steps in which the pipeline's network was trained: a DDPMScheduler, whatever samples from it."""
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    return DDPMScheduler.from_config(pipeline.scheduler.config)


def attend_for_training(network: Any, precision: Precision) -> None:
    """Lets a U-Net attend by plain products where these are faster to train than torch's own kernel.

    On a CPU and in bfloat16 a step on latents of 16×16 so takes two thirds of the time (docs/language.md); in
    float32, and in drawing, it takes as long either way.
    """
    from diffusers.models.attention_processor import AttnProcessor

    device = torch.device(processes().device or "cpu")
    small = network.config.sample_size <= PLAIN_SIDE
    if small and device.type == "cpu" and resolve(precision, device) == "bf16":
        network.set_attn_processor(AttnProcessor())


def image_side(pipeline: Any) -> int:
    """The side in pixels that the pipeline draws."""
    return pipeline.unet.config.sample_size * pipeline.vae_scale_factor


def _check(folder: Path) -> None:
    """UserError where a folder is no pipeline, or one of its parts lacks what it cannot be read without."""
    if not (folder / INDEX).is_file():
        raise no_pipeline(folder)
    index = read_settings(folder / INDEX)
    kind = index.get("_class_name")
    if kind != KIND:
        raise UserError(f"{folder} holds a {kind}; only a {KIND} of diffusers can be personalized.")
    missing = next((lack for part in PARTS if (lack := _lack(folder / part, index))), None)
    if missing is not None:
        raise UserError(
            f"the pipeline {folder} has no {missing}; copy it from where the pipeline comes from."
        )


def _lack(part: Path, index: Mapping[str, Any]) -> str | None:
    """What is not there of a part: all of it, its config, its weights, or a tokenizer's words."""
    name = part.name
    # diffusers writes a part that is left out as [null, null].
    if not part.is_dir() or not any(index.get(name) or ()):
        return name
    if name == "tokenizer":
        lacking = [file for file in VOCABULARY if not (part / file).is_file()]
        if lacking and not (part / "tokenizer.json").is_file():
            return f"{name}/{lacking[0]}"
        return None
    if not (part / CONFIGS[name]).is_file():
        return f"{name}/{CONFIGS[name]}"
    if name != "scheduler" and not has_weights(part):
        return f"weights in {name}/, .safetensors or .bin"
    return None
