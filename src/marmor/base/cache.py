"""Results that take long and follow from their name alone, kept from one command to the next."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.files import atomic, read_json, write_json
from marmor.base.progress import console
from marmor.base.tensors import read_guarded

FOLDER = "MARMOR_CACHE"
"""The environment variable that names another folder than ``~/.cache/marmor``."""


def cache_folder() -> Path:
    """Where results are kept; everything in it may be deleted at any time."""
    if named := os.environ.get(FOLDER):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "marmor"


def kept_tensor(key: tuple[str, ...], make: Callable[[], Tensor]) -> Tensor:
    """What ``make`` gave for the same key before, or gives now; damaged files are made anew."""
    path = _path(key, ".safetensors")
    if path.is_file():
        try:
            return read_guarded(path, "cached result")["values"]
        except (UserError, KeyError):
            path.unlink(missing_ok=True)
    values = make()
    _keep(path, lambda: _write_tensor(path, values))
    return values


def kept_json(key: tuple[str, ...], make: Callable[[], Any]) -> Any:
    """The same for what JSON can hold, which comes back as JSON gives it."""
    path = _path(key, ".json")
    if path.is_file():
        try:
            return read_json(path)
        except UserError:
            path.unlink(missing_ok=True)
    value = json.loads(json.dumps(make()))
    _keep(path, lambda: write_json(path, value))
    return value


def _path(key: tuple[str, ...], suffix: str) -> Path:
    digest = hashlib.blake2b(json.dumps(key).encode(), digest_size=16).hexdigest()
    return cache_folder() / f"{key[0]}-{digest}{suffix}"


def _write_tensor(path: Path, values: Tensor) -> None:
    with atomic(path) as temporary:
        save_file({"values": values.contiguous()}, temporary)


def _keep(path: Path, write: Callable[[], None]) -> None:
    """A result that cannot be kept is no reason to lose it."""
    try:
        write()
    except UserError as error:
        console.print(f"note: nothing is kept for the next time: {error}")
