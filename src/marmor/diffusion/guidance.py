"""Classifier-free guidance (Ho & Salimans 2022), and clipping, as wrappers around a denoiser."""

from dataclasses import dataclass

import torch
from torch import Tensor

from marmor.base.conditions import Condition, Conditions, none_of
from marmor.diffusion.denoisers import Denoise
from marmor.diffusion.predictions import Estimate
from marmor.diffusion.schedules import Schedule


@dataclass(frozen=True)
class Guidance:
    """unconditional + scale·(conditional − unconditional), while ``low <= t <= high``.

    Scale 1 is the conditional model itself and costs no second pass. The interval follows
    Kynkäänniemi et al. 2024.
    """

    scale: float = 1.0
    low: float = 0.0
    high: float = 1.0

    @classmethod
    def from_weight(cls, weight: float, low: float = 0.0, high: float = 1.0) -> "Guidance":
        """The paper's own convention (1 + w)·conditional − w·unconditional, scale = 1 + w."""
        return cls(1 + weight, low, high)

    def acts_at(self, t: float) -> bool:
        return self.scale != 1 and self.low <= t <= self.high


def guide(denoise: Denoise, kinds: dict[str, Condition], guidance: Guidance) -> Denoise:
    """A denoiser that runs both halves of guidance in one batch. All images share one time."""

    def guided(x: Tensor, t: Tensor, conditions: Conditions) -> Estimate:
        if not guidance.acts_at(float(t[0])):
            return denoise(x, t, conditions)
        unsaid = none_of(kinds, len(x), x.device)
        both = {name: torch.cat([values, unsaid[name]]) for name, values in conditions.items()}
        estimate = denoise(torch.cat([x, x]), torch.cat([t, t]), both)
        return Estimate(*(_extrapolate(part, guidance.scale) for part in estimate))

    return guided


def _extrapolate(both: Tensor, scale: float) -> Tensor:
    conditional, unconditional = both.chunk(2)
    return unconditional + scale * (conditional - unconditional)


def clip(denoise: Denoise, schedule: Schedule, limit: float = 1.0) -> Denoise:
    """A denoiser whose image estimate stays in [-limit, limit]; the noise estimate follows it."""

    def clipped(x: Tensor, t: Tensor, conditions: Conditions) -> Estimate:
        image = denoise(x, t, conditions).image.clamp(-limit, limit)
        alpha, sigma = schedule.signal(t), schedule.noise(t)
        noise = (x - alpha[:, None, None, None] * image) / sigma[:, None, None, None]
        return Estimate(image, noise)

    return clipped
