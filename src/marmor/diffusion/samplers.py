"""Samplers: short generators over an explicit list of times that yield every state.

Each takes a denoiser bound to its conditions (``(x, t) → Estimate``), the starting noise x, a schedule
and falling times t_0 > t_1 > … > t_N; the step from t_i always goes to t_{i+1}, the next element of
the list. Step arithmetic is in float64; images stay in the dtype of x. Samplers know neither devices
nor files nor progress bars.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from marmor.diffusion.predictions import Estimate
from marmor.diffusion.schedules import Schedule

Denoise = Callable[[Tensor, Tensor], Estimate]
Noise = Callable[[Tensor], Tensor]
"""Draws standard normal noise shaped like its argument."""


class State(NamedTuple):
    """Where sampling stands after a step: the time reached, x there, and the image expected."""

    time: float
    x: Tensor
    image: Tensor


class _Step(NamedTuple):
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


def uniform_times(steps: int, start: float = 1.0, end: float = 0.0) -> list[float]:
    """``steps`` equal steps from ``start`` to ``end``: steps + 1 times, both ends included."""
    return [start + (end - start) * i / steps for i in range(steps)] + [end]


def ddim(
    denoise: Denoise,
    x: Tensor,
    times: Sequence[float],
    schedule: Schedule,
    draw: Noise = torch.randn_like,
    eta: float = 0.0,
) -> Iterator[State]:
    """DDIM (Song et al. 2021, eq. 12 and 16). Order 1; deterministic at eta 0, DDPM at eta 1."""
    for step in _steps(times, schedule):
        estimate = denoise(x, _time_like(x, step.time))
        fresh = eta * math.sqrt(step.posterior_variance)
        kept = math.sqrt(max(step.next_noise**2 - fresh**2, 0.0))
        x = step.next_signal * estimate.image + kept * estimate.noise
        if fresh > 0:
            x = x + fresh * draw(x)
        yield State(step.next_time, x, estimate.image)


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
    for step in _steps(times, schedule):
        estimate = denoise(x, _time_like(x, step.time))
        kept = math.sqrt(max(step.next_noise**2 - step.posterior_variance, 0.0))
        x = step.next_signal * estimate.image + kept * estimate.noise
        if step.next_noise > 0:
            large = max(step.transition_variance, 0.0)
            fresh = step.posterior_variance if variance == "small" else large
            x = x + math.sqrt(fresh) * draw(x)
        yield State(step.next_time, x, estimate.image)


def dpm_solver_2m(
    denoise: Denoise,
    x: Tensor,
    times: Sequence[float],
    schedule: Schedule,
    draw: Noise = torch.randn_like,
    eta: float = 0.0,
) -> Iterator[State]:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2), one call a step, and its SDE form.

    With ``eta`` 0 it is deterministic and of order 2. With 1 it is SDE-DPM-Solver++(2M): at every step
    a part of the noise is replaced by fresh noise, so later steps can mend what earlier ones got wrong.
    Between them the variance of the fresh noise is, for small steps, eta² times as large, as in DDIM.
    The first step and a last step to zero noise are of order 1.
    """
    before: Tensor | None = None
    width_before = 0.0
    for step in _steps(times, schedule):
        image = denoise(x, _time_like(x, step.time)).image
        width = _half_log_snr(step.next_signal, step.next_noise) - _half_log_snr(
            step.signal, step.noise
        )
        direction = image
        if before is not None and math.isfinite(width) and math.isfinite(width_before):
            direction = image + (image - before) * (width / (2 * width_before))
        kept = math.exp(-(eta**2) * width) if eta else 1.0
        x = (step.next_noise / step.noise) * kept * x
        x = x - step.next_signal * math.expm1(-(1 + eta**2) * width) * direction
        fresh = step.next_noise * math.sqrt(1 - kept**2)
        if fresh > 0:
            x = x + fresh * draw(x)
        before, width_before = image, width
        yield State(step.next_time, x, image)


def _steps(times: Sequence[float], schedule: Schedule) -> Iterator[_Step]:
    at = torch.tensor(list(times), dtype=torch.float64)
    if len(at) < 2 or not bool((at[1:] < at[:-1]).all()):
        raise ValueError("sampling times must be at least two and strictly falling")
    signal, noise = schedule.signal(at).tolist(), schedule.noise(at).tolist()
    for i in range(len(at) - 1):
        yield _Step(
            float(at[i]), float(at[i + 1]), signal[i], noise[i], signal[i + 1], noise[i + 1]
        )


def _time_like(x: Tensor, time: float) -> Tensor:
    return torch.full((len(x),), time, dtype=torch.float32, device=x.device)


def _half_log_snr(signal: float, noise: float) -> float:
    if signal == 0:
        return -math.inf
    return math.inf if noise == 0 else math.log(signal / noise)
