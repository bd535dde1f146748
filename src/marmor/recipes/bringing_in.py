"""Files of others as a run (S8): `marmor personalize import`.

What diffusers' training scripts and AUTOMATIC1111 write, recognised by what it holds.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.files import atomic
from marmor.base.progress import console
from marmor.base.tensors import read_guarded
from marmor.personalization import (
    MARK,
    NAME,
    read_embedding,
    read_low_rank,
    read_projections,
    write_projections,
)
from marmor.recipes.learned import LOW_RANK, PROJECTIONS, embedding_file, told, write_words
from marmor.recipes.personalized import add_low_rank_file, add_projections, add_words
from marmor.recipes.text_to_image import load_pipeline
from marmor.training import RunFolder

RECIPE = "personalize-import"
PATTERNS = ("*.safetensors", "*.bin", "*.pt", "embeddings/*/*.safetensors", "embeddings/*/*.bin")
"""Where learned files lie in a folder that diffusers or marmor wrote."""

OF_LAYERS = (".weight", ".alpha")
"""How names of layers' weights end; a word may be called <flora>."""


@dataclass
class Found:
    """Files by what they hold."""

    words: dict[str, Tensor] = field(default_factory=dict)
    projections: Path | None = None
    low_rank: Path | None = None


def bring_in(sources: Sequence[Path], pipeline: Path, run: Path) -> RunFolder:
    """Makes a run of files of learned words, Custom Diffusion or LoRA, and of folders that hold them.

    Raises UserError for files that are none of these, that do not fit the pipeline, or that say the same
    thing twice, before anything is written.
    """
    found = Found()
    for file in _files(sources):
        _sort(file, found)
    loaded = load_pipeline(pipeline)
    add_words(loaded, found.words)
    if found.projections is not None:
        add_projections(loaded, found.projections)
    if found.low_rank is not None:
        add_low_rank_file(loaded, found.low_rank)
    kept = {PROJECTIONS: found.projections, LOW_RANK: found.low_rank}
    names = [name for name, file in kept.items() if file is not None]
    config = {
        "asked": {"files": [str(source.resolve()) for source in sources]},
        **told(pipeline, list(found.words), names),
    }
    for name in found.words:
        embedding_file(RunFolder(run), name)  # refuses a name that leaves its folder
    made = RunFolder.create(run, RECIPE, config)
    write_words(made, found.words)
    if found.projections is not None:
        weights = read_projections(found.projections)
        write_projections(run / PROJECTIONS, loaded.unet, weights)
    if found.low_rank is not None:
        _copy(found.low_rank, run / LOW_RANK)
    return made


def _files(sources: Sequence[Path]) -> list[Path]:
    found = []
    for source in sources:
        inner = [sorted(source.glob(pattern)) for pattern in PATTERNS] if source.is_dir() else []
        here = [file for files in inner for file in files] if source.is_dir() else [source]
        if not here:
            raise UserError(
                f"{source} holds no .safetensors, .bin or .pt of learned words or weights; name the folder "
                "that diffusers' training script wrote, or the files themselves."
            )
        found += here
    return found


def _sort(file: Path, found: Found) -> None:
    held = read_guarded(file, "learned file")
    names = [str(name) for name in held] if isinstance(held, dict) else []
    if any(MARK in name for name in names):
        _only(found.projections, file)
        read_projections(file)
        found.projections = file
    elif any("lora" in name and name.endswith(OF_LAYERS) for name in names):
        _only(found.low_rank, file)
        read_low_rank(file)
        found.low_rank = file
    else:
        name, vectors = read_embedding(file)
        if not NAME.fullmatch(name):
            console.print(f"note: the word {name!r} of {file} is called '<{name}>' here.")
            name = f"<{name}>"
        if not torch.equal(found.words.get(name, vectors), vectors):
            raise UserError(
                f"{file} holds the word {name}, which another file holds with other vectors; name one."
            )
        found.words[name] = vectors


def _only(other: Path | None, file: Path) -> None:
    if other is not None:
        raise UserError(f"{other} and {file} hold weights of the same kind; name one of them.")


def _copy(source: Path, target: Path) -> None:
    """As safetensors with what the file tells of itself."""
    with atomic(target) as temporary:
        if source.suffix == ".safetensors":
            shutil.copyfile(source, temporary)
        else:
            save_file(read_low_rank(source), temporary, metadata={"format": "pt"})
