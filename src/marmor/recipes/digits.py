"""Training of class-conditional diffusion models (S1): `marmor train digits`."""

from dataclasses import dataclass
from pathlib import Path

from marmor.recipes.diffusing import check_settings
from marmor.recipes.judged import JudgedSettings, resume_judged, train_judged
from marmor.recipes.training_images import load_images
from marmor.training import RunFolder

RECIPE = "digits"


@dataclass(frozen=True)
class DigitsSettings(JudgedSettings):
    """What `marmor train digits` can be told.

    Args:
        judge: reads the images drawn at milestones; the shipped one for digits when left out.
    """

    data: str = "mnist-m"
    run: Path = Path("runs/digits")


def train(settings: DigitsSettings) -> RunFolder:
    """Trains a model into a new run folder; Ctrl-C saves, `marmor resume` goes on."""
    check_settings(settings)
    return train_judged(RECIPE, settings, load_images(settings.data, settings.size))


def resume(run: RunFolder) -> None:
    """Goes on with an interrupted run to the end of its budget."""
    settings = DigitsSettings(**{**run.config["settings"]["asked"], "run": run.path})
    resume_judged(run, settings, load_images(settings.data, settings.size))
