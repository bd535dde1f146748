"""New words and the weights that read them (S8): `marmor personalize custom-diffusion`.

Kumari et al. 2023: of the U-Net nothing is trained but the key and value projections of cross-attention.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from marmor.base.errors import UserError
from marmor.personalization import ChosenWeights, Concepts, projection_names, write_projections
from marmor.recipes.concepts import (
    ConceptMethod,
    ConceptWishes,
    Lesson,
    begin,
    learn,
    prepare,
    tokens_of,
    wishes_of,
    word_rate,
)
from marmor.recipes.learned import PROJECTIONS, write_words
from marmor.recipes.prior import Drawing, Prior, captions, draw_priors, read_prior
from marmor.recipes.text_to_image import image_side
from marmor.recipes.training_images import check_same_images, facts_of
from marmor.training import Optimizers, RunFolder

RECIPE = "custom-diffusion"


@dataclass(frozen=True)
class CustomSettings(ConceptWishes):
    """What `marmor personalize custom-diffusion` can be told.

    Args:
        word: what kind of thing each concept is, a word of the pipeline: the vectors start there, unless at
            random, and pictures of that kind are the prior; one for all, or one a concept.
        run: the run folder to write.
        rate: learning rate of the projections; 8e-5 is the paper's, for Stable Diffusion.
        prior: a folder of pictures of the concept's kind, one for all, or one a concept; drawn by the
            pipeline itself when left out.
        prior_prompt: what they are called, with {} where the word goes; several take turns. The sentences of
            training when left out.
        prior_count: pictures to draw for each concept; 200 is the paper's.
        prior_steps: the sampler's steps for each of them.
        prior_guidance: scale of the prompt in them; 7.5 is diffusers' own.
        prior_weight: of their error beside that of the photos; 1 as in the published code, 0 does without.
    """

    word: tuple[str, ...] = ()
    run: Path = Path("runs/custom-diffusion")
    rate: float = 8e-5
    prior: tuple[Path, ...] = ()
    prior_prompt: tuple[str, ...] = ()
    prior_count: int = 200
    prior_steps: int = 50
    prior_guidance: float = 7.5
    prior_weight: float = 1.0


def train(settings: CustomSettings) -> RunFolder:
    """Trains the concepts into a new run folder; Ctrl-C saves, `marmor resume` goes on.

    Raises UserError for wishes that cannot be, and for pipelines and photos that cannot be read, before
    anything is written.
    """
    lesson, given = prepare_with_prior(settings)
    prior = {"prior": facts_of(given.images) if given else None}
    run = begin(RECIPE, settings, lesson, [PROJECTIONS], prior)
    _learn(run, settings, lesson, given)
    return run


def resume(run: RunFolder) -> None:
    """Goes on with an interrupted run to the end of its budget."""
    settings = wishes_of(run, CustomSettings)
    settings = replace(settings, prior=tuple(map(Path, settings.prior)))
    lesson, given = prepare_with_prior(settings)
    check_same_images(run, lesson.photos.images)
    if given:
        check_same_images(run, given.images, "prior")
    _learn(run, settings, lesson, given)


def prepare_with_prior(settings: CustomSettings) -> tuple[Lesson, Prior | None]:
    """What is learned from, and the prior where it is given."""
    for name in ("prior_count", "prior_steps"):
        if getattr(settings, name) < 1:
            flag = name.replace("_", "-")
            raise UserError(f"--{flag} must be at least 1, not {getattr(settings, name)}.")
    for name in ("rate", "prior_weight", "prior_guidance"):
        value = getattr(settings, name)
        if not (math.isfinite(value) and value >= 0):
            flag = name.replace("_", "-")
            raise UserError(f"--{flag} must be a number of at least 0, not {value}.")
    if len(settings.prior) not in {0, 1, len(settings.concept)}:
        raise UserError(
            f"--prior names {len(settings.prior)} folders for {len(settings.concept)} concepts; "
            "give one for all, or one for each."
        )
    lesson = prepare(settings)
    projection_names(lesson.pipeline.unet)
    tokens = _prior_tokens(settings, lesson)
    if not settings.prior or not settings.prior_weight:
        return lesson, None
    folders = settings.prior * (len(settings.concept) // len(settings.prior))
    side = image_side(lesson.pipeline)
    return lesson, read_prior(folders, side, tokens, settings.prior_weight)


def _said(settings: CustomSettings) -> list[list[str]]:
    """What the prior's pictures of each concept are called."""
    return [captions(word, settings.prior_prompt or settings.sentences) for word in settings.words]


def _prior_tokens(settings: CustomSettings, lesson: Lesson) -> list[Tensor]:
    return [tokens_of(lesson.pipeline.tokenizer, said, []) for said in _said(settings)]


def _drawn(run: RunFolder, settings: CustomSettings, lesson: Lesson) -> Prior:
    """The prior that the pipeline draws, or has drawn, into the run folder."""
    folders = [run.path / "prior" / name.strip("<>") for name in settings.concepts]
    drawing = Drawing(
        settings.prior_count, settings.prior_steps, settings.prior_guidance, settings.seed
    )
    draw_priors(lesson.pipeline, folders, _said(settings), drawing)
    tokens = _prior_tokens(settings, lesson)
    prior = read_prior(folders, image_side(lesson.pipeline), tokens, settings.prior_weight)
    _keep_drawn(run, prior)
    return prior


def _keep_drawn(run: RunFolder, prior: Prior) -> None:
    """Notes in the run's config what was drawn; UserError where a resume finds other pictures."""
    settings = run.config["settings"]
    noted = settings.get("prior") or facts_of(prior.images)
    run.change_settings({**settings, "prior": noted})
    check_same_images(run, prior.images, "prior")


def method_of(settings: CustomSettings, lesson: Lesson, prior: Prior | None) -> ConceptMethod:
    """The loop's method; its module is the new rows and the projections, and nothing else."""
    unet = lesson.pipeline.unet
    rows, weights = lesson.rows(), ChosenWeights(unet, projection_names(unet))
    assert rows is not None
    groups = [
        {"params": list(rows.parameters()), "lr": word_rate(rows)},
        {"params": list(weights.parameters()), "lr": settings.rate},
    ]
    optimizers = Optimizers([torch.optim.Adam(groups)])
    return ConceptMethod(lesson, Concepts(rows, weights), optimizers, settings, prior)


def _learn(run: RunFolder, settings: CustomSettings, lesson: Lesson, given: Prior | None) -> None:
    prior = given
    if settings.prior_weight and given is None:
        prior = _drawn(run, settings, lesson)
    method = method_of(settings, lesson, prior)

    def keep(learned: Concepts) -> None:
        assert learned.weights is not None
        write_words(run, lesson.vectors(learned.rows))
        write_projections(run.path / PROJECTIONS, lesson.pipeline.unet, learned.weights.named())

    learn(run, settings, method, keep)
