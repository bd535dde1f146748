"""Training of models that draw sets of objects (S3): `marmor train iclevr`."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from marmor.base.errors import UserError
from marmor.data import SHOWS, ImageSet, read_scenes
from marmor.data.scenes import SIDE, SMALLEST_SIDE
from marmor.diffusion import Denoiser
from marmor.recipes.asking import ask_scenes
from marmor.recipes.conditions import kinds_of
from marmor.recipes.denoising import DiffusionGenerator
from marmor.recipes.designs import DESIGNS, multiple
from marmor.recipes.diffusing import DiffusionSettings, begin, check_settings, fit_model
from marmor.recipes.drawing import as_images, draw
from marmor.recipes.judged import PROBING_STEPS
from marmor.recipes.object_judging import LoadedObjectJudge, find_object_judge, scores_of
from marmor.recipes.training_images import check_same_images
from marmor.training import Probe, RunFolder

RECIPE = "iclevr"
PROBED = 96
"""Pictures that a milestone judges, of the sets that as many training pictures show."""


@dataclass(frozen=True)
class ScenesSettings(DiffusionSettings):
    """What `marmor train iclevr` can be told.

    Args:
        data: a folder in i-CLEVR's layout: the published one, or one of `marmor data make scenes`.
        size: side that pictures are squashed to.
        judge: reads the pictures drawn at milestones; the shipped one when left out.
    """

    data: str
    run: Path = Path("runs/iclevr")
    size: int = SIDE
    judge: str | None = None


def train(settings: ScenesSettings) -> RunFolder:
    """Trains a model into a new run folder; Ctrl-C saves, `marmor resume` goes on."""
    check(settings)
    data = load(settings)
    judge = find_object_judge(settings.judge, data.vocabulary[SHOWS])
    run = begin(RECIPE, settings, data)
    fit_model(run, settings, data, _probe(settings, data, judge))
    return run


def check(settings: ScenesSettings) -> None:
    """Raises UserError for what no data could make possible."""
    check_settings(settings)
    of = multiple(settings.size)
    if settings.size < SMALLEST_SIDE or settings.size % of:
        raise UserError(
            f"--size must be a multiple of {of}, and at least {SMALLEST_SIDE}, not {settings.size}."
        )


def resume(run: RunFolder) -> None:
    """Goes on with an interrupted run to the end of its budget."""
    settings = ScenesSettings(**{**run.config["settings"]["asked"], "run": run.path})
    data = load(settings)
    check_same_images(run, data)
    judge = find_object_judge(settings.judge, data.vocabulary[SHOWS])
    fit_model(run, settings, data, _probe(settings, data, judge))


def load(settings: ScenesSettings) -> ImageSet:
    """The pictures to train on, in colour."""
    return read_scenes(Path(settings.data), settings.size).colour()


def _probe(
    settings: ScenesSettings, data: ImageSet, judge: LoadedObjectJudge | None
) -> Probe | None:
    """Judges a few guided pictures of the averaged model; None where no judge knows the objects."""
    if judge is None:
        return None
    design = DESIGNS[settings.network]
    # Sets are drawn in the same way however many images of training there were.
    drawing = design.drawing_after(0, kinds_of(data)).within(PROBING_STEPS)
    count = min(PROBED, len(data))
    shown = data.labels[SHOWS][[k * len(data) // count for k in range(count)]]
    requests = [row.nonzero().flatten().tolist() for row in shown]

    def probe(denoiser: nn.Module) -> dict[str, float]:
        assert isinstance(denoiser, Denoiser)
        shape = (data.channels, *data.size)
        generator = DiffusionGenerator(denoiser, data.vocabulary, shape, drawing, "training")
        images = as_images(
            draw(generator, ask_scenes(generator, requests), settings.seed), generator
        )
        scores = scores_of(judge, images)
        return {"objects.found": scores.found.value, "objects.exact": scores.exact.value}

    return probe
