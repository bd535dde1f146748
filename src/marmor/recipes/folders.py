"""Where models lie: run folders, exported folders, and those that ship with marmor."""

from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from marmor.base.errors import UserError, unknown_name
from marmor.base.files import read_json
from marmor.training import RunFolder, load_weights

PRETRAINED = "pretrained:"
DRAWING_RECIPES = ("digits", "digits-two-domains", "faces", "gan-faces", "iclevr")
"""Recipes whose runs draw images."""
FACE_RECIPES = ("faces", "gan-faces")
"""Of them, those whose images may be faces."""
WEIGHTS = Path(str(files("marmor") / "weights"))
WEIGHTS_FILE = "model.safetensors"


def inner_of(path: Path, name: str) -> Path:
    """The folder ``name`` in which a run keeps what it made; the path itself where there is none."""
    inner = path / name
    return inner if inner.is_dir() else path


def pretrained() -> dict[str, dict[str, Any]]:
    """The config of every model that ships with marmor, by name."""
    return {path.parent.name: read_json(path) for path in sorted(WEIGHTS.glob("*/config.json"))}


def note_of(spec: str) -> str:
    """What a shipped model is and what it was trained on, in its own words; "" for others."""
    config = pretrained().get(spec.removeprefix(PRETRAINED), {})
    return config.get("settings", {}).get("note", "") if spec.startswith(PRETRAINED) else ""


class Stored(NamedTuple):
    """What a folder holds: its settings, float32 weights, and how many images trained them."""

    settings: dict[str, Any]
    weights: dict[str, Tensor]
    images: int


def open_folder(spec: str, *recipes: str) -> Stored | None:
    """A run, an export or `pretrained:NAME`; None for a file.

    Raises UserError where nothing is there, or where it is of none of the recipes.
    """
    if not spec.startswith(PRETRAINED):
        path = Path(spec)
    elif (name := spec.removeprefix(PRETRAINED)) in pretrained():
        path = WEIGHTS / name
    else:
        raise unknown_name("shipped weights", name, pretrained())
    if path.is_file():
        return None
    if not path.exists():
        shipped = ", ".join(PRETRAINED + name for name in pretrained())
        raise UserError(
            f"{spec} does not exist; name a run, a checkpoint file or one of {shipped}."
        )
    run = RunFolder.open(path, *recipes)
    exported = path / WEIGHTS_FILE
    weights = load_weights(exported) if exported.is_file() else run.average_weights()
    floats = {
        name: values.float() if values.is_floating_point() else values
        for name, values in weights.items()
    }
    settings = run.config["settings"]
    records = run.history() or settings.get("trained", [])
    return Stored(settings, floats, records[-1]["images"] if records else 0)
