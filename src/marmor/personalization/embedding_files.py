"""Learned words as files that diffusers and others read: one word a file, one or several vectors."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.files import atomic
from marmor.base.tensors import read_guarded

WHAT = "embedding"
SUFFIXES = (".safetensors", ".bin")


def write_embedding(path: Path, name: str, vectors: Tensor) -> None:
    """Writes the vectors (V, D) of a word in the layout of diffusers, {name: vectors}, whole or not at all.

    The file's ending says how: ``.safetensors``, or ``.bin`` for torch. Raises UserError for other endings
    and where the disk refuses.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path} should end in {' or '.join(SUFFIXES)}.")
    tensors = {name: vectors.detach().cpu().contiguous()}
    with atomic(path) as temporary:
        if path.suffix == ".safetensors":
            save_file(tensors, temporary)
        else:
            torch.save(tensors, temporary)


def read_embedding(path: Path) -> tuple[str, Tensor]:
    """The word of a file and its vectors, float32 (V, D).

    Reads the layout of diffusers and that of AUTOMATIC1111 (``string_to_param``); pickles as tensors only.
    Raises UserError for files that cannot be read, hold code, or hold anything but the vectors of one word.
    """
    held = read_guarded(path, WHAT)
    found = list(held.items()) if isinstance(held, dict) else []
    if isinstance(held, dict) and "string_to_param" in held:
        params = held["string_to_param"]
        found = [(held.get("name"), params.get("*") if isinstance(params, Mapping) else None)]
    if len(found) != 1:
        raise UserError(
            f"{path} should hold the vectors of one word by its name, as diffusers saves them."
        )
    ((name, vectors),) = found
    if (
        not isinstance(name, str)
        or not isinstance(vectors, Tensor)
        or vectors.ndim not in (1, 2)
        or vectors.numel() == 0
        or not vectors.is_floating_point()
    ):
        raise UserError(
            f"{path} should hold one or several vectors of numbers under the name of a word."
        )
    return name, vectors.detach().float().reshape(-1, vectors.shape[-1])
