"""Concepts as low-rank weights beside a pipeline's own (S8): `marmor personalize lora`.

Hu et al. 2022, on the projections of attention, with new words (Gal et al. 2022) where they are asked for.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch

from marmor.base.errors import UserError
from marmor.base.seeds import derive
from marmor.personalization import (
    ChosenWeights,
    Concepts,
    Where,
    add_low_rank,
    require_peft,
    write_low_rank,
)
from marmor.recipes.concepts import (
    ConceptMethod,
    ConceptWishes,
    begin,
    learn,
    prepare,
    wishes_of,
    word_rate,
)
from marmor.recipes.learned import LOW_RANK, write_words
from marmor.recipes.training_images import check_same_images
from marmor.training import Optimizers, RunFolder

RECIPE = "lora"


@dataclass(frozen=True)
class LoraSettings(ConceptWishes):
    """What `marmor personalize lora` can be told.

    Args:
        concept: each concept and its photos: a new word that is learned too, '<new1>=DIR', or words that the
            pipeline knows, 'red dog=DIR'; several learn side by side.
        run: the run folder to write.
        rank: of the weights that are added to each projection.
        rate: their learning rate.
        where: cross trains what reads the text, all also what pictures read of themselves.
    """

    concept: tuple[str, ...]
    run: Path = Path("runs/lora")
    rank: int = 4
    rate: float = 1e-4
    where: Where = "all"


def train(settings: LoraSettings) -> RunFolder:
    """Trains low-rank weights, and words, into a new run folder; Ctrl-C saves, `marmor resume` goes on.

    Raises UserError for wishes that cannot be, for pipelines and photos that cannot be read, and without
    peft, before anything is written.
    """
    method = method_of(settings)
    run = begin(RECIPE, settings, method.lesson, [LOW_RANK])
    _learn(run, settings, method)
    return run


def resume(run: RunFolder) -> None:
    """Goes on with an interrupted run to the end of its budget."""
    settings = wishes_of(run, LoraSettings)
    method = method_of(settings)
    check_same_images(run, method.lesson.photos.images)
    _learn(run, settings, method)


def method_of(settings: LoraSettings) -> ConceptMethod:
    """The loop's method; its module is the new rows and the low-rank weights, and nothing else."""
    require_peft()
    if settings.rank < 1:
        raise UserError(f"--rank must be at least 1, not {settings.rank}.")
    if not (math.isfinite(settings.rate) and settings.rate > 0):
        raise UserError(f"--rate must be a number above 0, not {settings.rate}.")
    lesson = prepare(settings, phrases=True)
    unet = lesson.pipeline.unet
    names = add_low_rank(unet, settings.rank, settings.where, derive(settings.seed, "lora"))
    unet.requires_grad_(False)  # the weights beside them are those of the loop's module
    rows, weights = lesson.rows(), ChosenWeights(unet, names)
    groups = [{"params": list(weights.parameters()), "lr": settings.rate}]
    if rows is not None:
        groups.append({"params": list(rows.parameters()), "lr": word_rate(rows)})
    optimizers = Optimizers([torch.optim.Adam(groups)])
    return ConceptMethod(lesson, Concepts(rows, weights), optimizers, settings)


def _learn(run: RunFolder, settings: LoraSettings, method: ConceptMethod) -> None:
    def keep(learned: Concepts) -> None:
        assert learned.weights is not None
        write_words(run, method.lesson.vectors(learned.rows))
        write_low_rank(run.path / LOW_RANK, learned.weights.named())

    learn(run, settings, method, keep)
