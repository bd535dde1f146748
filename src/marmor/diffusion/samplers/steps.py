"""What all samplers share: the state they yield and the levels at both ends of a step."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from marmor.diffusion.predictions import Estimate
from marmor.diffusion.schedules import Schedule

Denoise = Callable[[Tensor, Tensor], Estimate]
"""(x_t (B, C, H, W), t (B,)) → estimate; a denoiser bound to its conditions."""

Noise = Callable[[Tensor], Tensor]
"""Draws standard normal noise shaped like its argument."""


class State(NamedTuple):
    """Where sampling stands after a step: the time reached, x there, and the image expected."""

    time: float
    x: Tensor
    image: Tensor


class Step(NamedTuple):
    """Levels at both ends of a step, as Python floats."""

    time: float
    next_time: float
    signal: float
    noise: float
    next_signal: float
    next_noise: float

    @property
    def transition_variance(self) -> float:
        """Variance of x_t given x_next in the forward process."""
        return self.noise**2 - (self.signal / self.next_signal * self.next_noise) ** 2

    @property
    def posterior_variance(self) -> float:
        """Variance of x_next given x_t and x_0 (Ho et al. 2020, eq. 7)."""
        return max(self.transition_variance, 0.0) * (self.next_noise / self.noise) ** 2

    @property
    def width(self) -> float:
        """Growth of lambda = log(alpha/sigma) over the step; infinite at pure noise or no noise."""
        after = half_log_snr(self.next_signal, self.next_noise)
        return after - half_log_snr(self.signal, self.noise)


def steps_between(times: Sequence[float], schedule: Schedule) -> Iterator[Step]:
    """The steps along ``times``.

    Raises ValueError unless these are two or more, falling, and have signal but at the first.
    """
    at = torch.tensor(list(times), dtype=torch.float64)
    if len(at) < 2 or not bool((at[1:] < at[:-1]).all()):
        raise ValueError("sampling times must be at least two and strictly falling")
    signal, noise = schedule.signal(at).tolist(), schedule.noise(at).tolist()
    if 0.0 in signal[1:]:
        raise ValueError(
            f"nothing can be drawn at t = {times[signal.index(0.0, 1)]}: no signal there"
        )
    for i in range(len(at) - 1):
        yield Step(float(at[i]), float(at[i + 1]), signal[i], noise[i], signal[i + 1], noise[i + 1])


def time_like(x: Tensor, time: float) -> Tensor:
    """``time`` for each image of ``x``, float32 of shape (B,)."""
    return torch.full((len(x),), time, dtype=torch.float32, device=x.device)


def half_log_snr(signal: float, noise: float) -> float:
    """lambda = log(alpha/sigma)."""
    if signal == 0:
        return -math.inf
    return math.inf if noise == 0 else math.log(signal / noise)
