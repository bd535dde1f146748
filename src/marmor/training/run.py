"""The run folder: the only state of a run, written so that a kill at any moment leaves it whole.

config.json           recipe and its settings
environment.json      packages, machine, command line
metrics.jsonl         one line per logged step
checkpoints/step-N/   model.safetensors, average.safetensors, optimizer.pt, position.json
"""

import io
import json
import pickle
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.files import flush, read_json, write_json, write_text
from marmor.training.processes import processes

KEPT_CHECKPOINTS = 2
PACKAGES = ("marmor", "torch", "torchvision", "accelerate", "safetensors", "numpy", "pillow")


@dataclass
class Checkpoint:
    """Everything that a resume needs."""

    model: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizer: list[dict[str, Any]]
    position: dict[str, Any]
    """Where the run stands; ``"step"`` is among it and names the checkpoint's folder."""


class RunFolder:
    """One run on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics = path / "metrics.jsonl"
        self.checkpoints = path / "checkpoints"

    @classmethod
    def create_once(cls, path: Path, recipe: str, settings: dict[str, Any]) -> "RunFolder":
        """``create`` by the first of several processes, which the others wait for."""
        siblings = processes()
        if siblings.is_main_process:
            cls.create(path, recipe, settings)
        siblings.wait_for_everyone()
        return cls(path)

    @classmethod
    def create(cls, path: Path, recipe: str, settings: dict[str, Any]) -> "RunFolder":
        """A new run; UserError when the folder already holds something."""
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise UserError(
                f"{path} already exists and is not empty; choose another --run, "
                f"or go on with it: marmor resume {path}."
            )
        write_json(path / "config.json", {"recipe": recipe, "settings": settings})
        write_json(path / "environment.json", environment())
        return cls(path)

    @classmethod
    def open(cls, path: Path, *recipes: str) -> "RunFolder":
        """An existing run; UserError when it is none, or of none of the recipes, where some are named."""
        run = cls(path)
        if not (path / "config.json").is_file():
            raise UserError(
                f"{path} is not a run folder: it has no config.json. "
                "Name a folder that `marmor train` wrote."
            )
        if recipes and run.recipe not in recipes:
            wanted = " or ".join(map(repr, recipes))
            raise UserError(
                f"{path} is a run of the recipe {run.recipe!r}, not of {wanted}; "
                f"name a run of {wanted}."
            )
        return run

    @property
    def config(self) -> dict[str, Any]:
        config = read_json(self.path / "config.json")
        if not isinstance(config, dict) or not {"recipe", "settings"} <= config.keys():
            raise UserError(
                f"{self.path / 'config.json'} has no recipe and settings; it is damaged."
            )
        return config

    @property
    def recipe(self) -> str:
        return self.config["recipe"]

    @property
    def environment(self) -> dict[str, Any]:
        return read_json(self.path / "environment.json")

    def log(self, record: dict[str, Any]) -> None:
        """Appends one line to metrics.jsonl."""
        try:
            with self.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise UserError(
                f"cannot write {self.metrics}: {error.strerror}. "
                "The last checkpoint is whole; free some space and `marmor resume`."
            ) from error

    def history(self) -> list[dict[str, Any]]:
        """The logged lines; a last line cut short by a kill is left out."""
        if not self.metrics.exists():
            return []
        lines = self.metrics.read_text(encoding="utf-8").split("\n")
        return [json.loads(line) for line in lines[:-1]]

    def rewind_log(self, step: int) -> None:
        """Drops log lines after ``step``: a resumed run writes them again."""
        kept = [line for line in self.history() if line["step"] <= step]
        write_text(self.metrics, "".join(json.dumps(line) + "\n" for line in kept))

    def save(self, checkpoint: Checkpoint) -> Path:
        """Writes a checkpoint; it appears whole, under its final name, or not at all."""
        final = self.checkpoints / f"step-{checkpoint.position['step']:06d}"
        partial = self.checkpoints / f".{final.name}.partial"
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            save_file(_contiguous(checkpoint.model), partial / "model.safetensors")
            save_file(_contiguous(checkpoint.average), partial / "average.safetensors")
            (partial / "optimizer.pt").write_bytes(_pickled(checkpoint.optimizer))
            (partial / "position.json").write_text(json.dumps(checkpoint.position))
            for path in (*partial.iterdir(), partial):
                flush(path)
            if final.exists():  # the same step: the same bits
                shutil.rmtree(partial)
            else:
                partial.rename(final)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(partial, ignore_errors=True)
            reason = getattr(error, "strerror", None) or error
            raise UserError(
                f"cannot write the checkpoint {final}: {reason}. The checkpoint before it is whole; "
                f"free some space and go on with: marmor resume {self.path}."
            ) from error
        for old in self._all_checkpoints()[:-KEPT_CHECKPOINTS]:
            shutil.rmtree(old, ignore_errors=True)
        return final

    def latest(self) -> Path | None:
        """The folder of the newest checkpoint, or None."""
        found = self._all_checkpoints()
        return found[-1] if found else None

    def load(self) -> Checkpoint | None:
        """The newest checkpoint, or None in a run that has none yet."""
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

    def average_weights(self) -> dict[str, Tensor]:
        """The averaged weights of the newest checkpoint; UserError where there is none."""
        folder = self.latest()
        if folder is None:
            raise UserError(
                f"{self.path} has no checkpoint yet; train it with: marmor resume {self.path}."
            )
        return load_weights(folder / "average.safetensors")

    def _all_checkpoints(self) -> list[Path]:
        if not self.checkpoints.is_dir():
            return []
        numbered = [
            path for path in self.checkpoints.glob("step-*") if path.name[len("step-") :].isdigit()
        ]
        return sorted(numbered, key=lambda path: int(path.name.removeprefix("step-")))


def load_weights(path: Path) -> dict[str, Tensor]:
    """A safetensors file; UserError when it is missing or cut short."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path} cannot be read as safetensors ({error}); it may be cut short: copy it again, or "
            "delete its checkpoint folder to fall back to the one before it."
        ) from error


def environment() -> dict[str, Any]:
    """What a run was made with."""
    return {
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": torch.cpu.get_capabilities().get("cpu_name", platform.processor()),
        "threads": torch.get_num_threads(),
        "packages": {name: installed for name in PACKAGES if (installed := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _pickled(value: object) -> bytes:
    """As torch.save does; its own way to a file hides why the system refused it."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _contiguous(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: values.detach().cpu().contiguous().clone() for name, values in state.items()}
