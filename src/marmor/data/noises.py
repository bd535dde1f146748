"""Noises that somebody else drew: a folder of tensors, one a file."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.tensors import read_guarded

SUFFIXES = (".pt", ".npy", ".safetensors")


@dataclass(frozen=True)
class Noises:
    """Named noises of one size, float32 (N, C, H, W)."""

    names: tuple[str, ...]
    values: Tensor

    def fingerprint(self) -> str:
        """32 hex digits for names and values."""
        digest = hashlib.blake2b("\n".join(self.names).encode(), digest_size=16)
        digest.update(self.values.contiguous().numpy().data)
        return digest.hexdigest()


def read_noises(folder: Path) -> Noises:
    """All noises of a folder, by name: ``NN.pt``, ``NN.npy`` or ``NN.safetensors``, of (1, C, H, W).

    Raises UserError for a folder without any, for two of one name, and for a file that is no such
    tensor, holds code, or is of another size than its neighbours.
    """
    if not folder.is_dir():
        raise UserError(
            f"{folder} is not a folder; name the folder of {', '.join(SUFFIXES)} files."
        )
    paths = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    if not paths:
        raise UserError(f"{folder} holds no noises; {', '.join(SUFFIXES)} files were expected.")
    names = [path.stem for path in paths]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UserError(f"{folder} holds two noises called {twice[0]}; keep one of them.")
    values = [read_noise(path) for path in paths]
    for path, value in zip(paths, values, strict=True):
        if value.shape != values[0].shape:
            raise UserError(
                f"noise {path} is of size {_size(value)}, its neighbour {paths[0].name} of size "
                f"{_size(values[0])}; noises drawn together must be of one size."
            )
    return Noises(tuple(names), torch.stack(values))


def read_noise(path: Path) -> Tensor:
    """One noise, float32 (C, H, W); UserError as above."""
    content = read_guarded(path, "noise")
    if isinstance(content, Mapping):
        tensors = [value for value in content.values() if isinstance(value, Tensor)]
        content = tensors[0] if len(tensors) == 1 else content
    if not isinstance(content, Tensor):
        raise UserError(
            f"noise {path} holds no single tensor; one of shape 1 × C × H × W was expected."
        )
    value = content[0] if content.ndim == 4 and len(content) == 1 else content
    if value.ndim != 3 or not value.is_floating_point() or value.numel() == 0:
        raise UserError(
            f"noise {path} holds {content.dtype} of shape {_size(content)}; floats of shape "
            "1 × C × H × W were expected."
        )
    if not value.isfinite().all():
        raise UserError(f"noise {path} holds values that are not finite; save it again.")
    return value.detach().float()


def _size(value: Tensor) -> str:
    return " × ".join(map(str, value.shape)) or "a single number"
