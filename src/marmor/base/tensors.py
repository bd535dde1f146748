"""Reading strangers' files of tensors without running what they hold; every failure is one sentence."""

import re
import warnings
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from marmor.base.errors import UserError


def read_guarded(path: Path, what: str) -> Any:
    """What a file holds, on the CPU: tensors, or whatever was saved around them.

    ``.safetensors`` is read by safetensors, ``.npy`` by numpy without pickles, everything else by
    ``torch.load(weights_only=True)``. ``what`` is the word for the file in the errors.

    Raises UserError for a file that is missing, empty, cut short or damaged, or that holds code.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise UserError(f"{what} {path} does not exist.") from None
    except OSError as error:
        raise _unreadable(path, what, error) from error
    if not path.is_file():
        raise UserError(f"{what} {path} is not a file; name the file itself.")
    if size == 0:
        raise UserError(f"{what} {path} is empty; copy or save it again.")
    if path.suffix == ".safetensors":
        return _read_safetensors(path, what)
    return _read_numpy(path, what) if path.suffix == ".npy" else _read_torch(path, what)


def is_script(path: Path) -> bool:
    """Whether a file is a TorchScript archive: a zip with code in it."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def read_script(path: Path, what: str) -> dict[str, torch.Tensor]:
    """The weights of a TorchScript archive, by name; its code is left alone.

    TorchScript's own reader rebuilds a graph of tensor operations and never runs Python. Raises UserError for
    an archive that cannot be read.
    """
    try:
        with warnings.catch_warnings(
            action="ignore"
        ):  # old archives are all there is of some models
            return dict(torch.jit.load(path, map_location="cpu").state_dict())
    except (RuntimeError, ValueError) as error:
        raise _unreadable(path, what, error) from error


def _read_safetensors(path: Path, what: str) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, what, error) from error


def _read_numpy(path: Path, what: str) -> torch.Tensor:
    try:
        values = np.load(path, allow_pickle=False)
        return torch.from_numpy(values.astype(values.dtype.newbyteorder("=")))
    except Exception as error:  # zip's, the header's and the types' own errors among them
        if "Object arrays" in str(error):
            raise UserError(
                f"{what} {path} holds Python objects, which may be code, and was not run; save numbers."
            ) from error
        raise _unreadable(path, what, error) from error


def _read_torch(path: Path, what: str) -> Any:
    try:
        with warnings.catch_warnings(action="ignore"):  # the error below says it in one sentence
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # Damaged files come as KeyError, IndexError, EOFError, RuntimeError, OSError and others.
        raise _with_code(path, what, error) or _unreadable(path, what, error) from error


def _unreadable(path: Path, what: str, error: Exception) -> UserError:
    if isinstance(error, PermissionError):
        return UserError(f"{what} {path} may not be read: permission denied.")
    return UserError(f"{what} {path} is cut short, damaged or not a {what}; copy or save it again.")


def _with_code(path: Path, what: str, error: Exception) -> UserError | None:
    """The error for a file that was refused because opening it would run what it says."""
    named = re.search(r"GLOBAL (\S+)", str(error))
    if named:
        code = f"code ({named[1]})"
    elif "TorchScript" in str(error):
        code = "code (TorchScript)"
    elif isinstance(error, UnpicklingError) and _is_pickle(path):
        # Pickle protocols after 2, which torch.save does not write, are refused unread.
        code = "a plain pickle, which may be code,"
    else:
        return None
    return UserError(f"{what} {path} holds {code} and was not run; save tensors only.")


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1) == b"\x80"
