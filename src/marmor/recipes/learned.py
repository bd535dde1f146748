"""What a run of `marmor personalize` has learned, as files in its folder, and on which pipeline."""

from pathlib import Path
from typing import Any

from torch import Tensor

from marmor.base.errors import UserError
from marmor.personalization import read_embedding, write_embedding
from marmor.recipes.text_to_image import fingerprint
from marmor.training import RunFolder


def told_of_base(folder: Path, words: list[str]) -> dict[str, Any]:
    """What config.json keeps: the pipeline, its fingerprint, and the words that are learned on it."""
    return {
        "pipeline": {"folder": str(folder.resolve()), "fingerprint": fingerprint(folder)},
        "words": words,
    }


def base_of(run: RunFolder) -> Path:
    """The pipeline that a run learns on.

    Raises UserError where it has gone or changed since the run began.
    """
    told = run.config["settings"]["pipeline"]
    folder = Path(told["folder"])
    if fingerprint(folder) != told["fingerprint"]:
        raise UserError(
            f"the pipeline {folder} changed since {run.path} began (another fingerprint); "
            "a run belongs to the weights it started with: put them back."
        )
    return folder


def embedding_file(run: RunFolder, name: str) -> Path:
    """Where a run keeps the vectors of its word ``name``."""
    return run.path / "embeddings" / name.strip("<>") / "learned_embeds.safetensors"


def write_words(run: RunFolder, words: dict[str, Tensor]) -> None:
    """Writes the vectors (V, D) of each word into a file of its own."""
    for name, vectors in words.items():
        write_embedding(embedding_file(run, name), name, vectors)


def read_words(run: RunFolder) -> dict[str, Tensor]:
    """The vectors (V, D) of each word in the order asked for; UserError where there are none yet."""
    names = run.config["settings"]["words"]
    files = {name: embedding_file(run, name) for name in names}
    if not all(file.is_file() for file in files.values()):
        raise UserError(
            f"{run.path} has not learned its words yet; go on with it: marmor resume {run.path}."
        )
    return {name: read_embedding(file)[1] for name, file in files.items()}
