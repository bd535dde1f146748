"""Training of diffusion models without classes, on faces (S4): `marmor train faces`."""

from dataclasses import dataclass
from pathlib import Path

from marmor.base.errors import UserError
from marmor.data import ImageSet
from marmor.recipes.designs import DESIGNS
from marmor.recipes.diffusing import DiffusionSettings, begin, check_settings, fit_model
from marmor.recipes.training_images import check_same_images, load_unlabelled
from marmor.training import RunFolder

RECIPE = "faces"


@dataclass(frozen=True)
class FacesSettings(DiffusionSettings):
    """What `marmor train faces` can be told.

    Args:
        size: side to crop and resize images to; None for their own.
    """

    data: str = "faces"
    run: Path = Path("runs/faces")
    size: int | None = 64


def train(settings: FacesSettings) -> RunFolder:
    """Trains a model into a new run folder; Ctrl-C saves, `marmor resume` goes on."""
    check_settings(settings)
    if DESIGNS[settings.network].needs_classes:
        raise UserError(f"--network {settings.network} draws classes; take uvit or unet for faces.")
    data = _load(settings)
    run = begin(RECIPE, settings, data)
    fit_model(run, settings, data)
    return run


def resume(run: RunFolder) -> None:
    """Goes on with an interrupted run to the end of its budget."""
    config = run.config["settings"]
    settings = FacesSettings(**{**config["asked"], "run": run.path})
    data = _load(settings)
    check_same_images(run, data)
    fit_model(run, settings, data)


def _load(settings: FacesSettings) -> ImageSet:
    return load_unlabelled(settings.data, settings.size).unlabelled()
