"""Training of diffusion models whose images a judge can read, with judged milestones."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from marmor.data import DOMAIN, ImageSet
from marmor.diffusion import Denoiser
from marmor.recipes.asking import ask_classes
from marmor.recipes.denoising import DiffusionGenerator
from marmor.recipes.designs import DESIGNS
from marmor.recipes.diffusing import DiffusionSettings, begin, fit_model
from marmor.recipes.drawing import as_images, draw
from marmor.recipes.generators import EVERYWHERE, Generator
from marmor.recipes.models import LoadedJudge, find_judges
from marmor.recipes.scoring import accuracy, check_judge, judge_images, mean_accuracy
from marmor.recipes.training_images import check_same_images
from marmor.training import Probe, RunFolder

PROBED = 10
"""Images of each class that a milestone judges."""
PROBING_STEPS = 15
"""Most network calls an image there; the published recipe's 400 would take longer than the training."""


@dataclass(frozen=True)
class JudgedSettings(DiffusionSettings):
    """What every recipe of a model of classes can be told.

    Args:
        judge: reads the images drawn at milestones; of several domains DOMAIN=JUDGE for each, with commas, or
            one for all; the shipped ones when left out.
    """

    judge: str | None = None


def train_judged(recipe: str, settings: JudgedSettings, data: ImageSet) -> RunFolder:
    """Trains a model into a new run folder; UserError for a judge that cannot read the images."""
    judges = find_judges(settings.judge, data.vocabulary)
    for judge in judges.values():
        check_judge(judge, data.class_names, data.channels)
    run = begin(recipe, settings, data)
    fit_model(run, settings, data, _probe(settings.network, data, judges, settings.seed))
    return run


def resume_judged(run: RunFolder, settings: JudgedSettings, data: ImageSet) -> None:
    """Goes on with an interrupted run to the end of its budget."""
    check_same_images(run, data)
    judges = find_judges(settings.judge, data.vocabulary)
    fit_model(run, settings, data, _probe(settings.network, data, judges, settings.seed))


def _probe(
    network: str, data: ImageSet, judges: Mapping[str, LoadedJudge], seed: int
) -> Probe | None:
    """Judges a few guided images of the averaged model, of each domain; None where there is no judge.

    ``judge.accuracy`` is the mean over the domains, left out where one of them has no judge.
    """
    if not judges:
        return None
    drawing = DESIGNS[network].drawing.within(PROBING_STEPS)

    def probe(denoiser: nn.Module) -> dict[str, float]:
        assert isinstance(denoiser, Denoiser)
        shape = (data.channels, *data.size)
        generator = DiffusionGenerator(denoiser, data.vocabulary, shape, drawing, "training")
        found = {
            domain: _read_right(generator, domain, judge, seed) for domain, judge in judges.items()
        }
        figures = mean_accuracy(found, generator.domains)
        if EVERYWHERE in found:
            return figures
        return figures | {f"judge.accuracy.{domain}": share for domain, share in found.items()}

    return probe


def _read_right(generator: Generator, domain: str, judge: LoadedJudge, seed: int) -> float:
    others = {} if domain == EVERYWHERE else {DOMAIN: [domain]}
    drawn = draw(generator, ask_classes(generator, PROBED, others=others), seed)
    images = as_images(drawn, generator)
    return accuracy(judge, images, judge_images(judge, images)).overall.value
