"""Euler's and Heun's methods with churn (Karras et al. 2022).

They step along the noise-to-signal ratio s = sigma/alpha of y = x/alpha, where the probability flow is
dy/ds = noise estimate, whatever the schedule.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from marmor.diffusion.samplers.steps import Denoise, Noise, State, Step, steps_between, time_like
from marmor.diffusion.schedules import Schedule


@dataclass(frozen=True)
class Churn:
    """Noise added before each step (Karras et al. 2022, algorithm 2).

    Args:
        amount: S_churn, over all steps; 0 is none.
        low: S_tmin, the smallest ratio sigma/alpha at which it acts.
        high: S_tmax, the largest.
        inflation: S_noise, standard deviation of the noise added.
    """

    amount: float = 0.0
    low: float = 0.0
    high: float = math.inf
    inflation: float = 1.0

    def growth(self, ratio: float, steps: int) -> float:
        """gamma: by how much of itself the ratio grows before a step from it."""
        if not self.low <= ratio <= self.high:
            return 0.0
        return min(self.amount / steps, math.sqrt(2) - 1)


NO_CHURN = Churn()


def euler(
    denoise: Denoise,
    x: Tensor,
    times: Sequence[float],
    schedule: Schedule,
    draw: Noise = torch.randn_like,
    churn: Churn = NO_CHURN,
) -> Iterator[State]:
    """Euler's method, order 1, one call a step. Without churn it is DDIM at eta 0."""
    for plain in steps_between(times, schedule):
        x, step = _stirred(x, plain, schedule, churn, len(times) - 1, draw)
        estimate = denoise(x, time_like(x, step.time))
        x = step.next_signal * estimate.image + step.next_noise * estimate.noise
        yield State(step.next_time, x, estimate.image)


def heun(
    denoise: Denoise,
    x: Tensor,
    times: Sequence[float],
    schedule: Schedule,
    draw: Noise = torch.randn_like,
    churn: Churn = NO_CHURN,
) -> Iterator[State]:
    """Heun's method (Karras et al. 2022, algorithms 1 and 2), order 2, two calls a step.

    A step from pure noise and one to no noise are Euler's.
    """
    for plain in steps_between(times, schedule):
        x, step = _stirred(x, plain, schedule, churn, len(times) - 1, draw)
        estimate = denoise(x, time_like(x, step.time))
        there = step.next_signal * estimate.image + step.next_noise * estimate.noise
        if step.signal > 0 and step.next_noise > 0:
            slope = (estimate.noise + denoise(there, time_like(x, step.next_time)).noise) / 2
            change = step.next_noise / step.next_signal - step.noise / step.signal
            there = step.next_signal * (x / step.signal + change * slope)
        x = there
        yield State(step.next_time, x, estimate.image)


def _stirred(
    x: Tensor, step: Step, schedule: Schedule, churn: Churn, steps: int, draw: Noise
) -> tuple[Tensor, Step]:
    """x with noise added, and the longer step that starts there."""
    if churn.amount == 0 or step.signal == 0:
        return x, step
    ratio = step.noise / step.signal
    wanted = torch.tensor(ratio * (1 + churn.growth(ratio, steps)), dtype=torch.float64)
    time = schedule.time_at(wanted)
    signal, noise = schedule.signal(time).item(), schedule.noise(time).item()
    added = math.sqrt(max((noise / signal) ** 2 - ratio**2, 0.0)) if signal else 0.0
    if added == 0:
        return x, step
    x = signal * (x / step.signal + added * churn.inflation * draw(x))
    return x, step._replace(time=time.item(), signal=signal, noise=noise)
