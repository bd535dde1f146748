"""Pipelines with what was learned in them: the runs of `marmor personalize`, and plain folders."""

import shutil
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from marmor.base.errors import UserError, reason
from marmor.base.files import atomic, inside
from marmor.data.writers import whole_folder
from marmor.personalization import (
    add_placeholder,
    put_in,
    read_low_rank,
    read_projections,
    require_peft,
    write_embedding,
    write_projections,
)
from marmor.recipes.folders import place_of
from marmor.recipes.learned import LOW_RANK, PROJECTIONS, base_of, read_words, weights_file
from marmor.recipes.text_to_image import INDEX, load_pipeline, no_pipeline
from marmor.training import RunFolder

RECIPES = (
    "textual-inversion",
    "custom-diffusion",
    "lora",
    "personalize-merge",
    "personalize-import",
)
PIPELINE = "tiny-text-to-image"
Target = Literal["pipeline", "safetensors", "bin"]


def load_personalized(run: Path) -> Any:
    """A StableDiffusionPipeline in float32 with the words and weights of a run in it.

    ``run`` is a run of `marmor personalize`, whatever its kind, or what ``load_pipeline`` takes.
    Prompts may use the run's words; diffusers writes several vectors out by itself. Raises UserError where
    the folder is neither, where nothing has been learned yet, and where the run's pipeline has changed.
    """
    if is_pipeline(run):
        return load_pipeline(run)
    opened = open_personalized(run)
    words = read_words(opened)
    projections, low_rank = (weights_file(opened, name) for name in (PROJECTIONS, LOW_RANK))
    pipeline = load_pipeline(base_of(opened))
    add_words(pipeline, words)
    if projections is not None:
        add_projections(pipeline, projections)
    if low_rank is not None:
        add_low_rank_file(pipeline, low_rank)
    return pipeline


def is_pipeline(spec: Path) -> bool:
    """Whether a folder, or `pretrained:NAME`, is a pipeline in which nothing was learned."""
    folder = place_of(spec)
    if (folder / INDEX).is_file():
        return True
    if not (folder / "config.json").is_file():
        raise no_pipeline(folder)
    return RunFolder.open(folder, *RECIPES, PIPELINE).recipe == PIPELINE


def open_personalized(run: Path) -> RunFolder:
    """A run of `marmor personalize`; UserError where the folder is none."""
    return RunFolder.open(run, *RECIPES)


def add_words(pipeline: Any, words: dict[str, Tensor]) -> None:
    """Gives a pipeline new words with their vectors (V, D)."""
    for name, vectors in words.items():
        add_placeholder(pipeline.tokenizer, pipeline.text_encoder, name, vectors)


def add_projections(pipeline: Any, file: Path) -> None:
    """Puts a file's weights in the place of the U-Net's own; UserError where they do not fit."""
    try:
        put_in(pipeline.unet, read_projections(file))
    except ValueError as error:
        raise UserError(
            f"{file} was made for another U-Net than the pipeline's: {error}."
        ) from error


def add_low_rank_file(pipeline: Any, file: Path) -> None:
    """Puts a file's low-rank weights beside the U-Net's own, as diffusers does; UserError where it fails."""
    require_peft()
    from diffusers.utils import logging

    read_low_rank(file)
    spoken = logging.get_verbosity()
    logging.set_verbosity_error()  # it would wonder that the text encoder has none
    try:
        pipeline.load_lora_weights(str(file.parent), weight_name=file.name, local_files_only=True)
    except Exception as error:  # whatever its many readers raise
        raise UserError(f"{file} cannot be read by diffusers: {reason(error)}") from error
    finally:
        logging.set_verbosity(spoken)


def export(run: Path, out: Path, to: Target = "pipeline") -> None:
    """Writes a run as a whole pipeline with all that was learned folded in, or as files for diffusers.

    ``to``: pipeline, or the ending of the files: one a word, ``<new1>.bin``, and the weights of the U-Net.
    Each word is also written as ``learned_embeds.bin``, which diffusers finds by itself; the format holds one
    word, so that of several each lies in a folder of its own, ``new1``.
    Raises UserError where ``out`` holds something already, before anything is written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} already exists and is not empty; choose another --out.")
    with whole_folder(out) as place:
        if to == "pipeline":
            _write_pipeline(run, place)
        else:
            _write_files(run, place, to)


def _write_pipeline(run: Path, out: Path) -> None:
    pipeline = load_personalized(run)
    if any(getattr(part, "peft_config", None) for part in (pipeline.unet, pipeline.text_encoder)):
        pipeline.fuse_lora()
        pipeline.unload_lora_weights()
    pipeline.save_pretrained(out)


def _write_files(run: Path, out: Path, to: Target) -> None:
    opened = open_personalized(run)
    words = read_words(opened)
    for name, vectors in words.items():
        own = out if len(words) == 1 else inside(out, name.strip("<>"))
        for file in (out / f"{name}.{to}", own / f"learned_embeds.{to}"):
            write_embedding(file, name, vectors)
    projections, low_rank = (weights_file(opened, name) for name in (PROJECTIONS, LOW_RANK))
    if projections is not None:
        unet = load_pipeline(base_of(opened)).unet
        write_projections(
            (out / PROJECTIONS).with_suffix(f".{to}"), unet, read_projections(projections)
        )
    if low_rank is not None:
        with atomic((out / LOW_RANK).with_suffix(f".{to}")) as temporary:
            if to == "safetensors":
                shutil.copyfile(low_rank, temporary)
            else:
                torch.save(read_low_rank(low_rank), temporary)
