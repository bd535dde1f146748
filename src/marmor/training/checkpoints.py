"""Checkpoints: folders that appear whole, under their final name, or not at all.

step-000400/      model.safetensors, average.safetensors, optimizer.pt, position.json
step-000300.1/    the same after a guard has sent the run back once: newer than any without ".1"
"""

import io
import json
import pickle
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.files import atomic, flush

_NAME = re.compile(r"step-(\d+)(?:\.(\d+))?")


@dataclass
class Checkpoint:
    """Everything that a resume needs."""

    model: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizer: list[dict[str, Any]]
    position: dict[str, Any]
    """Where the run stands; ``"step"`` is among it and names the checkpoint's folder."""


class Checkpoints:
    """The newest checkpoints of a run, in a folder of their own inside the run's."""

    def __init__(self, folder: Path, kept: int = 2) -> None:
        self.folder = folder
        self.kept = kept

    def save(self, checkpoint: Checkpoint) -> Path:
        """Writes a checkpoint and removes old ones; UserError where the system refuses."""
        final = self.folder / _name(checkpoint.position)
        partial = self.folder / f".{final.name}.partial"
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            save_file(_contiguous(checkpoint.model), partial / "model.safetensors")
            save_file(_contiguous(checkpoint.average), partial / "average.safetensors")
            (partial / "optimizer.pt").write_bytes(_pickled(checkpoint.optimizer))
            (partial / "position.json").write_text(json.dumps(checkpoint.position))
            for path in (*partial.iterdir(), partial):
                flush(path)
            if final.exists():  # the same place: the same bits
                shutil.rmtree(partial)
            else:
                partial.rename(final)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(partial, ignore_errors=True)
            reason = getattr(error, "strerror", None) or error
            raise UserError(
                f"cannot write the checkpoint {final}: {reason}. The checkpoint before it is whole; "
                f"free some space and go on with: marmor resume {self.folder.parent}."
            ) from error
        for old in self._all()[: -self.kept]:
            shutil.rmtree(old, ignore_errors=True)
        return final

    def latest(self) -> Path | None:
        """The folder of the newest checkpoint, or None."""
        found = self._all()
        return found[-1] if found else None

    def load(self) -> Checkpoint | None:
        """The newest checkpoint, or None where there is none yet."""
        folder = self.latest()
        if folder is None:
            return None
        try:
            position = json.loads((folder / "position.json").read_text())
            optimizer = torch.load(folder / "optimizer.pt", map_location="cpu", weights_only=True)
            model, average = (
                load_weights(folder / f"{n}.safetensors") for n in ("model", "average")
            )
        except (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise UserError(
                f"the checkpoint {folder} is damaged ({error}); "
                "delete that folder to fall back to the one before it."
            ) from error
        return Checkpoint(model, average, optimizer, position)

    def _all(self) -> list[Path]:
        """Oldest first."""
        if not self.folder.is_dir():
            return []
        named = {path: _NAME.fullmatch(path.name) for path in self.folder.iterdir()}
        ages = {path: (int(match[2] or 0), int(match[1])) for path, match in named.items() if match}
        return sorted(ages, key=lambda path: ages[path])


def save_weights(weights: dict[str, Tensor], path: Path) -> None:
    """A safetensors file, whole or not at all; UserError where the system refuses the write."""
    with atomic(path) as temporary:
        save_file(_contiguous(weights), temporary)


def load_weights(path: Path) -> dict[str, Tensor]:
    """A safetensors file; UserError when it is missing or cut short."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path} cannot be read as safetensors ({error}); it may be cut short: copy it again, or "
            "delete its checkpoint folder to fall back to the one before it."
        ) from error


def _name(position: dict[str, Any]) -> str:
    retreats = len(position.get("retreats", ()))
    return f"step-{position['step']:06d}" + (f".{retreats}" if retreats else "")


def _pickled(value: object) -> bytes:
    """As torch.save does; its own way to a file hides why the system refused it."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _contiguous(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: values.detach().cpu().contiguous().clone() for name, values in state.items()}
