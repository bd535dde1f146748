"""Training of class-conditional diffusion models (S1): `marmor train digits`."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from marmor.data import ImageSet
from marmor.diffusion import Denoiser
from marmor.recipes.designs import DESIGNS
from marmor.recipes.diffusing import DiffusionSettings, begin, check_settings, fit_model
from marmor.recipes.drawing import as_images, draw
from marmor.recipes.generators import Generator
from marmor.recipes.models import find_judge
from marmor.recipes.scoring import accuracy, check_judge, judge_images
from marmor.recipes.training_images import check_same_images, load_images
from marmor.training import Probe, RunFolder

RECIPE = "digits"
PROBED = 10
"""Images of each class that a milestone judges."""
PROBING_STEPS = 15
"""Most network calls an image there; the published recipe's 400 would take longer than the training."""


@dataclass(frozen=True)
class DigitsSettings(DiffusionSettings):
    """What `marmor train digits` can be told.

    Args:
        judge: reads the images drawn at milestones; the shipped one for digits when left out.
    """

    data: str = "mnist-m"
    run: Path = Path("runs/digits")
    judge: str | None = None


def train(settings: DigitsSettings) -> RunFolder:
    """Trains a model into a new run folder; Ctrl-C saves, `marmor resume` goes on."""
    check_settings(settings)
    data = load_images(settings.data, settings.size)
    check_judge(find_judge(settings.judge, data.class_names), data)
    run = begin(RECIPE, settings, data)
    fit_model(run, settings, data, _probe(settings, data))
    return run


def resume(run: RunFolder) -> None:
    """Goes on with an interrupted run to the end of its budget."""
    config = run.config["settings"]
    settings = DigitsSettings(**{**config["asked"], "run": run.path})
    data = load_images(settings.data, settings.size)
    check_same_images(run, data)
    fit_model(run, settings, data, _probe(settings, data))


def _probe(settings: DigitsSettings, data: ImageSet) -> Probe | None:
    """Judges a few guided images of the averaged model; None where no judge knows the classes."""
    judge = find_judge(settings.judge, data.class_names)
    if judge is None:
        return None
    drawing = DESIGNS[settings.network].drawing.within(PROBING_STEPS)

    def probe(denoiser: nn.Module) -> dict[str, float]:
        assert isinstance(denoiser, Denoiser)
        shape = (data.channels, *data.size)
        generator = Generator(denoiser, data.class_names, shape, drawing, "training")
        images = as_images(draw(generator, data.class_names, PROBED, settings.seed), generator)
        result = accuracy(judge, images, judge_images(judge, images))
        return {"judge.accuracy": result.overall.value}

    return probe
