"""Classifier-free guidance (Ho & Salimans 2022), and clipping, as wrappers around a denoiser."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import torch
from torch import Tensor

from marmor.base.conditions import Conditions, Kinds, none_of
from marmor.diffusion.denoisers import Denoise
from marmor.diffusion.predictions import Estimate, following
from marmor.diffusion.schedules import Schedule


@dataclass(frozen=True)
class Guidance:
    """unconditional + scale·(conditional − unconditional), while ``low <= t <= high``.

    Scale 1 is the conditional model itself and costs no second pass. The interval follows
    Kynkäänniemi et al. 2024. ``rescale`` in [0, 1] brings the standard deviation of each image
    estimate back to that of the conditional half, 1 all the way: large scales raise it, which
    overexposes (Lin et al. 2023, eq. 15 and 16, who do it to the network's output, velocity).

    ``apart``: conditions with a scale of their own. Conditions are then said one after the other, in the
    model's order, and what each adds to those before it is scaled (Brooks et al. 2023, eq. 3); of neighbours
    with one scale, together. Each other scale costs a pass.
    """

    scale: float = 1.0
    low: float = 0.0
    high: float = 1.0
    rescale: float = 0.0
    apart: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def from_weight(
        cls, weight: float, low: float = 0.0, high: float = 1.0, rescale: float = 0.0
    ) -> "Guidance":
        """The paper's own convention (1 + w)·conditional − w·unconditional, scale = 1 + w."""
        return cls(1 + weight, low, high, rescale)

    def steps(self, names: Iterable[str]) -> list[tuple[float, list[str]]]:
        """Conditions in the order in which they are said, with the scale of what they add."""
        by_scale = groupby(names, key=lambda name: self.apart.get(name, self.scale))
        return [(scale, list(group)) for scale, group in by_scale]

    def acts_at(self, t: float) -> bool:
        scales = (self.scale, *self.apart.values())
        return any(scale != 1 for scale in scales) and self.low <= t <= self.high


def guide(denoise: Denoise, kinds: Kinds, guidance: Guidance, schedule: Schedule) -> Denoise:
    """A denoiser that runs all parts of guidance in one batch. All images share one time.

    Raises ValueError for a scale of a condition that there is not.
    """
    if unknown := set(guidance.apart) - set(kinds):
        raise ValueError(f"scales for {sorted(unknown)}, but the conditions are {sorted(kinds)}")

    def guided(x: Tensor, t: Tensor, conditions: Conditions) -> Estimate:
        if not guidance.acts_at(float(t[0])):
            return denoise(x, t, conditions)
        steps = guidance.steps(name for name in kinds if name in conditions)
        said = [none_of(kinds, len(x), x.device)]
        while steps and steps[0][0] == 1:  # what adds to nothing unscaled is where to start
            _, names = steps.pop(0)
            said[0] |= {name: conditions[name] for name in names}
        if not steps:
            return denoise(x, t, conditions)
        for _, names in steps:
            said.append(said[-1] | {name: conditions[name] for name in names})
        every = {name: torch.cat([part[name] for part in reversed(said)]) for name in conditions}
        count = len(said)
        estimate = denoise(torch.cat([x] * count), torch.cat([t] * count), every)
        scales = [scale for scale, _ in steps]
        image, noise = (_extrapolate(part.chunk(count), scales) for part in estimate)
        if guidance.rescale == 0:
            return Estimate(image, noise)
        conditional = estimate.image[: len(x)]
        spread = image.std((1, 2, 3), keepdim=True).clamp(min=1e-12)
        whole = conditional.std((1, 2, 3), keepdim=True) / spread
        return following(
            image * torch.lerp(torch.ones_like(whole), whole, guidance.rescale), x, t, schedule
        )

    return guided


def _extrapolate(parts: Sequence[Tensor], scales: Sequence[float]) -> Tensor:
    """From the unconditional part, which is the last, along each step towards the first."""
    *said, guided = parts
    before = guided
    for part, scale in zip(reversed(said), scales, strict=True):
        guided = guided + scale * (part - before)
        before = part
    return guided


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
        return following(revise(denoise(x, t, conditions).image), x, t, schedule)

    return revised
