"""What a run of `marmor personalize` has learned, as files in its folder, and on which pipeline.

embeddings/NAME/learned_embeds.safetensors          the vectors of a word
pytorch_custom_diffusion_weights.safetensors        weights of the U-Net that replace its own
pytorch_lora_weights.safetensors                    low-rank weights that are added to its own
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.files import inside
from marmor.personalization import read_embedding, write_embedding
from marmor.recipes.text_to_image import fingerprint, pipeline_folder
from marmor.training import RunFolder

PROJECTIONS = "pytorch_custom_diffusion_weights.safetensors"
LOW_RANK = "pytorch_lora_weights.safetensors"
KEY = "learned"


def told(pipeline: Path, words: Sequence[str], files: Sequence[str] = ()) -> dict[str, Any]:
    """What config.json keeps: the pipeline, its fingerprint, words, and files of weights."""
    folder = pipeline_folder(pipeline).resolve()
    return {
        "pipeline": {"folder": str(folder), "fingerprint": fingerprint(folder)},
        KEY: {"words": list(words), "files": list(files)},
    }


def base_of(run: RunFolder) -> Path:
    """The pipeline that a run learns on.

    Raises UserError where it has gone or changed since the run began.
    """
    base = _told(run, "pipeline")
    folder = Path(base["folder"])
    if not folder.is_dir():
        raise UserError(
            f"{run.path} was learned on the pipeline {folder}, which is not there any more; put it back, "
            f"or name its new place: marmor personalize import {run.path} --pipeline DIR --run NEW."
        )
    if fingerprint(folder) != base["fingerprint"]:
        raise UserError(
            f"the pipeline {folder} changed since {run.path} began (another fingerprint); "
            "what is learned belongs to the weights it started with: put them back."
        )
    return folder


def base_fingerprint(run: RunFolder) -> str:
    """Which pipeline a run was learned on, wherever it lies."""
    return _told(run, "pipeline")["fingerprint"]


def embedding_file(run: RunFolder, name: str) -> Path:
    """Where a run keeps the vectors of its word ``name``."""
    return inside(run.path / "embeddings", name.strip("<>")) / "learned_embeds.safetensors"


def write_words(run: RunFolder, words: dict[str, Tensor]) -> None:
    """Writes the vectors (V, D) of each word into a file of its own."""
    for name, vectors in words.items():
        write_embedding(embedding_file(run, name), name, vectors)


def read_words(run: RunFolder) -> dict[str, Tensor]:
    """The vectors (V, D) of each word in the order asked for; UserError where there are none yet."""
    found = {}
    for name in _told(run, KEY)["words"]:
        found[name] = read_embedding(_there(run, embedding_file(run, name)))[1]
    return found


def weights_file(run: RunFolder, name: str) -> Path | None:
    """A run's file PROJECTIONS or LOW_RANK; None where it learns none, UserError where it has none yet."""
    return _there(run, run.path / name) if name in _told(run, KEY)["files"] else None


def forget(run: RunFolder) -> None:
    """Takes away what a shorter budget has learned, so that nothing takes it for the longer one's."""
    shutil.rmtree(run.path / "embeddings", ignore_errors=True)
    for name in (PROJECTIONS, LOW_RANK):
        (run.path / name).unlink(missing_ok=True)


def check_whole(run: RunFolder) -> None:
    """UserError where a run that is made at once lacks something, because it was stopped."""
    read_words(run)
    for name in (PROJECTIONS, LOW_RANK):
        weights_file(run, name)


def _there(run: RunFolder, file: Path) -> Path:
    if not file.is_file():
        raise UserError(
            f"{run.path} has no {file.relative_to(run.path)} yet; go on with the run "
            f"(marmor resume {run.path}), or make it anew."
        )
    return file


def _told(run: RunFolder, key: str) -> dict[str, Any]:
    found = run.config["settings"].get(key)
    if not isinstance(found, dict):
        raise UserError(
            f"{run.path} does not tell its {key}: it is of an earlier version, or damaged; make it anew."
        )
    return found
