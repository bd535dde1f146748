"""DDPM's ancestral sampling (Ho et al. 2020)."""

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from marmor.diffusion.samplers.steps import Denoise, Noise, State, steps_between, time_like
from marmor.diffusion.schedules import Schedule


def ddpm(
    denoise: Denoise,
    x: Tensor,
    times: Sequence[float],
    schedule: Schedule,
    draw: Noise = torch.randn_like,
    variance: Literal["small", "large"] = "large",
) -> Iterator[State]:
    """Ancestral sampling (Ho et al. 2020, algorithm 2), also over a part of the steps.

    ``small`` is the posterior's variance, ``large`` the transition's (their beta-tilde and beta).
    """
    for step in steps_between(times, schedule):
        estimate = denoise(x, time_like(x, step.time))
        kept = math.sqrt(max(step.next_noise**2 - step.posterior_variance, 0.0))
        x = step.next_signal * estimate.image + kept * estimate.noise
        if step.next_noise > 0:
            large = max(step.transition_variance, 0.0)
            fresh = step.posterior_variance if variance == "small" else large
            x = x + math.sqrt(fresh) * draw(x)
        yield State(step.next_time, x, estimate.image)
