"""The run folder: the only state of a run, written so that a kill at any moment leaves it whole.

config.json           recipe and its settings
environment.json      packages, machine, command line
metrics.jsonl         one line per logged step
checkpoints/step-N/   what a resume needs
start/, good/step-N/  where there is a guard: the beginning, the last milestone with nothing wrong
"""

import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.files import read_json, write_json, write_text
from marmor.training.checkpoints import Checkpoints, load_weights
from marmor.training.processes import first_alone

PACKAGES = ("marmor", "torch", "torchvision", "accelerate", "safetensors", "numpy", "pillow")


class RunFolder:
    """One run on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics = path / "metrics.jsonl"
        self.checkpoints = Checkpoints(path / "checkpoints")
        self.start = Checkpoints(path / "start", kept=1)
        self.good = Checkpoints(path / "good", kept=1)

    @classmethod
    def create_once(cls, path: Path, recipe: str, settings: dict[str, Any]) -> "RunFolder":
        """``create`` by the first of several processes, which the others wait for."""
        with first_alone() as first:
            if first:
                cls.create(path, recipe, settings)
        return cls(path)

    @classmethod
    def create(cls, path: Path, recipe: str, settings: dict[str, Any]) -> "RunFolder":
        """A new run; UserError when the folder already holds something."""
        if path.exists() and (not path.is_dir() or any(map(_visible, path.iterdir()))):
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

    def change_settings(self, settings: dict[str, Any]) -> None:
        """Writes other settings, by the first of several processes, which the others wait for."""
        with first_alone() as first:
            if first:
                write_json(self.path / "config.json", {**self.config, "settings": settings})

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

    def average_weights(self) -> dict[str, Tensor]:
        """The averaged weights of the newest checkpoint; UserError where there is none."""
        folder = self.checkpoints.latest()
        if folder is None:
            raise UserError(
                f"{self.path} has no checkpoint yet; train it with: marmor resume {self.path}."
            )
        return load_weights(folder / "average.safetensors")


def _visible(path: Path) -> bool:
    """Not what a write that was killed left behind."""
    return not path.name.startswith(".")


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
