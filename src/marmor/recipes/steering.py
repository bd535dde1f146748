"""Steering models of sets of objects by a judge: `--steer JUDGE` wherever lists are drawn."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from torch import Tensor
from torch.nn import functional as F

from marmor.base.conditions import Conditions
from marmor.base.errors import UserError
from marmor.data import SHOWS
from marmor.diffusion import LogLikelihood
from marmor.recipes.denoising import DiffusionGenerator, Steering
from marmor.recipes.generators import Generator
from marmor.recipes.object_judging import STEERED, LoadedObjectJudge, load_object_judge


@dataclass(frozen=True)
class SteeringWishes:
    """Which judge a person wants images steered by; none where it is left out.

    Args:
        steer: a judge of scenes that moves what is drawn towards the list; another than the one that scores.
        steer_scale: how strongly, 1 as Bayes' rule has it, which it is when left out.
    """

    steer: str | None = None
    steer_scale: float | None = None


UNSTEERED = SteeringWishes()
AnyGenerator = TypeVar("AnyGenerator", bound=Generator)


def steered(generator: AnyGenerator, wishes: SteeringWishes) -> AnyGenerator:
    """The model steered as a person wants it, or as it is.

    Raises UserError for a model that draws no sets of objects, a judge that does not know them, and a scale
    that cannot be.
    """
    scale = 1.0 if wishes.steer_scale is None else wishes.steer_scale
    if wishes.steer is None:
        if wishes.steer_scale is not None:
            raise UserError("--steer-scale is for steering; name a judge with --steer.")
        return generator
    if not 0 <= scale < math.inf:
        raise UserError(f"--steer-scale must be 0 or a positive number, not {scale}.")
    if SHOWS not in generator.vocabulary or not isinstance(generator, DiffusionGenerator):
        raise UserError(
            f"{generator.origin} draws no sets of objects, and only those are steered; leave --steer out."
        )
    judge = load_object_judge(wishes.steer)
    remark = f"{STEERED} {judge.origin} at scale {scale:g} (weights {judge.fingerprint})."
    judge.judge.to(generator.device)
    likelihood = log_likelihood(judge, generator.vocabulary[SHOWS])
    return replace(generator, steering=Steering(likelihood, scale, remark))


def log_likelihood(judge: LoadedObjectJudge, objects: Sequence[str]) -> LogLikelihood:
    """What a judge says of images in [-1, 1]: log of the probability that they show the set asked for.

    The judge says of each object on its own whether it is there, so this is a sum over the objects: log p of
    those asked for, log(1 − p) of the others. Raises UserError where it does not know the objects.
    """
    places = judge.places(objects)

    def of(images: Tensor, conditions: Conditions) -> Tensor:
        asked = conditions[SHOWS][:, :-1]  # the last place stands for "none"
        logits = judge.logits(images)[:, places]
        return -F.binary_cross_entropy_with_logits(logits, asked, reduction="none").sum(1)

    return of
