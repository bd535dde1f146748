"""Where models lie: run folders, exported folders, and those that ship with marmor."""

from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from marmor.base.errors import UserError, unknown_name
from marmor.base.files import read_json, read_settings
from marmor.training import RunFolder, load_weights

PRETRAINED = "pretrained:"
DRAWING_RECIPES = ("digits", "digits-two-domains", "faces", "gan-faces", "iclevr")
"""Recipes whose runs draw images."""
FACE_RECIPES = ("faces", "gan-faces")
"""Of them, those whose images may be faces."""
HUB_PARTS = {"tiny-clip": "clip", "tiny-text-to-image": "pipeline"}
"""Recipes whose runs hold a folder of transformers or of diffusers, and what it is called there."""
WEIGHTS = Path(str(files("marmor") / "weights"))
WEIGHTS_FILE = "model.safetensors"


def pretrained() -> dict[str, dict[str, Any]]:
    """The config of every model that ships with marmor, by name."""
    return {path.parent.name: read_json(path) for path in sorted(WEIGHTS.glob("*/config.json"))}


def note_of(spec: str) -> str:
    """What a shipped model is and what it was trained on, in its own words; "" for others."""
    config = pretrained().get(spec.removeprefix(PRETRAINED), {})
    return config.get("settings", {}).get("note", "") if spec.startswith(PRETRAINED) else ""


def place_of(spec: str | Path) -> Path:
    """Where `pretrained:NAME` lies; any other path as it is. UserError for a name that does not ship."""
    name = str(spec)
    if not name.startswith(PRETRAINED):
        return Path(spec)
    if (name := name.removeprefix(PRETRAINED)) not in pretrained():
        raise unknown_name("shipped weights", name, pretrained())
    return WEIGHTS / name


def hub_folder(spec: str | Path, recipe: str) -> Path:
    """The folder of transformers or diffusers in a run of ``recipe``, an export of it, or `pretrained:NAME`.

    ``recipe`` is one of HUB_PARTS. Files, and folders that marmor did not write, are what they are.
    Raises UserError for a run of another recipe, and for one that is not finished.
    """
    path = place_of(spec)
    config = path / "config.json"
    if not config.is_file() or "recipe" not in read_settings(config):
        return path
    run = RunFolder.open(path, recipe)
    inner = run.path / HUB_PARTS[recipe]
    if not inner.is_dir():
        raise UserError(f"{path} has no {inner.name} yet; go on with it: marmor resume {path}.")
    return inner


class Stored(NamedTuple):
    """What a folder holds: its settings, float32 weights, and how many images trained them."""

    settings: dict[str, Any]
    weights: dict[str, Tensor]
    images: int


def open_folder(spec: str, *recipes: str) -> Stored | None:
    """A run, an export or `pretrained:NAME`; None for a file.

    Raises UserError where nothing is there, or where it is of none of the recipes.
    """
    path = place_of(spec)
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
