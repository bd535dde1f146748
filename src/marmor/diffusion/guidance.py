"""Classifier-free guidance (Ho & Salimans 2022), and clipping, as wrappers around a denoiser."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from marmor.base.conditions import Conditions, Kinds, none_of
from marmor.diffusion.denoisers import Denoise
from marmor.diffusion.predictions import Estimate, ImagePrediction, levels
from marmor.diffusion.schedules import Schedule


@dataclass(frozen=True)
class Guidance:
    """unconditional + scale·(conditional − unconditional), while ``low <= t <= high``.

    Scale 1 is the conditional model itself and costs no second pass. The interval follows
    Kynkäänniemi et al. 2024. ``rescale`` in [0, 1] brings the standard deviation of each image
    estimate back to that of the conditional half, 1 all the way: large scales raise it, which
    overexposes (Lin et al. 2023, eq. 15 and 16, who do it to the network's output, velocity).
    """

    scale: float = 1.0
    low: float = 0.0
    high: float = 1.0
    rescale: float = 0.0

    @classmethod
    def from_weight(
        cls, weight: float, low: float = 0.0, high: float = 1.0, rescale: float = 0.0
    ) -> "Guidance":
        """The paper's own convention (1 + w)·conditional − w·unconditional, scale = 1 + w."""
        return cls(1 + weight, low, high, rescale)

    def acts_at(self, t: float) -> bool:
        return self.scale != 1 and self.low <= t <= self.high


def guide(denoise: Denoise, kinds: Kinds, guidance: Guidance, schedule: Schedule) -> Denoise:
    """A denoiser that runs both halves of guidance in one batch. All images share one time."""

    def guided(x: Tensor, t: Tensor, conditions: Conditions) -> Estimate:
        if not guidance.acts_at(float(t[0])):
            return denoise(x, t, conditions)
        unsaid = none_of(kinds, len(x), x.device)
        both = {name: torch.cat([values, unsaid[name]]) for name, values in conditions.items()}
        estimate = denoise(torch.cat([x, x]), torch.cat([t, t]), both)
        image, noise = (_extrapolate(part, guidance.scale) for part in estimate)
        if guidance.rescale == 0:
            return Estimate(image, noise)
        conditional = estimate.image[: len(x)]
        spread = image.std((1, 2, 3), keepdim=True).clamp(min=1e-12)
        whole = conditional.std((1, 2, 3), keepdim=True) / spread
        return _following(
            image * torch.lerp(torch.ones_like(whole), whole, guidance.rescale), x, t, schedule
        )

    return guided


def _extrapolate(both: Tensor, scale: float) -> Tensor:
    conditional, unconditional = both.chunk(2)
    return unconditional + scale * (conditional - unconditional)


def clip(
    denoise: Denoise, schedule: Schedule, limit: float = 1.0, noise_follows: bool = True
) -> Denoise:
    """A denoiser whose image estimate stays in [-limit, limit].

    The noise estimate follows it, so that both still make x_t; or it stays what it was, as in the public
    scripts of DDIM.
    """
    if noise_follows:
        return _revised(denoise, schedule, lambda image: image.clamp(-limit, limit))

    def clipped(x: Tensor, t: Tensor, conditions: Conditions) -> Estimate:
        image, noise = denoise(x, t, conditions)
        return Estimate(image.clamp(-limit, limit), noise)

    return clipped


def threshold(denoise: Denoise, schedule: Schedule, quantile: float = 0.995) -> Denoise:
    """Dynamic thresholding (Saharia et al. 2022, section 2.3); the noise estimate follows it.

    Where more than 1 − ``quantile`` of an image's values lie outside [-1, 1], the image is clipped at
    that quantile of its magnitudes and divided by it.
    """

    def inside(image: Tensor) -> Tensor:
        limit = image.abs().flatten(1).quantile(quantile, dim=1).clamp(min=1)[:, None, None, None]
        return image.clamp(-limit, limit) / limit

    return _revised(denoise, schedule, inside)


def _revised(denoise: Denoise, schedule: Schedule, revise: Callable[[Tensor], Tensor]) -> Denoise:
    """A denoiser whose image estimate is revised."""

    def revised(x: Tensor, t: Tensor, conditions: Conditions) -> Estimate:
        return _following(revise(denoise(x, t, conditions).image), x, t, schedule)

    return revised


def _following(image: Tensor, x: Tensor, t: Tensor, schedule: Schedule) -> Estimate:
    """An image estimate with the noise that makes x_t of it."""
    return ImagePrediction().estimate(image, x, levels(schedule, t))
