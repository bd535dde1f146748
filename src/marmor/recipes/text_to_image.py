"""Text-to-image pipelines of diffusers as folders on this disk."""

from pathlib import Path
from typing import Any

from marmor.base.errors import UserError, reason
from marmor.base.files import fingerprint_of, read_settings
from marmor.recipes.folders import inner_of

KIND = "StableDiffusionPipeline"
PARTS = ("tokenizer", "text_encoder", "unet", "vae", "scheduler")
VOCABULARY = ("vocab.json", "merges.txt")
"""What a CLIP's tokenizer is made of, where it is not all in tokenizer.json."""
READ = (".json", ".txt", ".model", ".safetensors", ".bin")
"""Endings of the files that a part may be made of."""


def pipeline_folder(path: Path) -> Path:
    """The folder itself, or the pipeline that a run of `marmor train tiny-text-to-image` holds."""
    return inner_of(path, "pipeline")


def load_pipeline(folder: Path) -> Any:
    """A StableDiffusionPipeline in float32, its networks frozen.

    Raises UserError where the folder is none, lacks a part, or cannot be read, and without diffusers.
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


def image_side(pipeline: Any) -> int:
    """The side in pixels that the pipeline draws."""
    return pipeline.unet.config.sample_size * pipeline.vae_scale_factor


def _check(folder: Path) -> None:
    index = read_settings(folder / "model_index.json")
    kind = index.get("_class_name")
    if kind != KIND:
        raise UserError(f"{folder} holds a {kind}; only a {KIND} of diffusers can be personalized.")
    missing = [part for part in PARTS if not (folder / part).is_dir() or not index.get(part)]
    if missing:
        raise UserError(
            f"the pipeline {folder} has no {missing[0]}; copy it from where the pipeline comes from."
        )
    tokenizer = folder / "tokenizer"
    lacking = [name for name in VOCABULARY if not (tokenizer / name).is_file()]
    if lacking and not (tokenizer / "tokenizer.json").is_file():
        raise UserError(
            f"the pipeline {folder} has no tokenizer/{lacking[0]}, without which it reads no word; copy it "
            "from where the pipeline comes from."
        )
