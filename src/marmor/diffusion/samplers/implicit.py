"""DDIM, from noise to images and back (Song et al. 2021)."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from marmor.diffusion.samplers.steps import Denoise, Noise, State, steps_between, time_like
from marmor.diffusion.schedules import Schedule


def ddim(
    denoise: Denoise,
    x: Tensor,
    times: Sequence[float],
    schedule: Schedule,
    draw: Noise = torch.randn_like,
    eta: float = 0.0,
) -> Iterator[State]:
    """DDIM (Song et al. 2021, eq. 12 and 16). Order 1; deterministic at eta 0, DDPM at eta 1."""
    for step in steps_between(times, schedule):
        estimate = denoise(x, time_like(x, step.time))
        fresh = eta * math.sqrt(step.posterior_variance)
        kept = math.sqrt(max(step.next_noise**2 - fresh**2, 0.0))
        x = step.next_signal * estimate.image + kept * estimate.noise
        if fresh > 0:
            x = x + fresh * draw(x)
        yield State(step.next_time, x, estimate.image)


def ddim_inversion(
    denoise: Denoise,
    x: Tensor,
    times: Sequence[float],
    schedule: Schedule,
    corrections: int = 0,
) -> Iterator[State]:
    """The noise from which ``ddim`` at eta 0 draws ``x``, along the same falling ``times``.

    Each step of DDIM is undone: x_t is the one from which the step leads to the x at hand. It stands on
    both sides of that equation, since the noise is estimated at x_t; the first guess estimates it at
    the x at hand (Song et al. 2021, section 4.3), which comes back up to an error of order 1 in the
    number of steps. Each of ``corrections`` estimates it again where the last guess led, one call
    more; where that settles, as it does when steps are short, the round trip is exact (Pan et al.
    2023; Garibi et al. 2024).

    Yields the time reached, x there, and the image expected, from the last time to the first. Raises
    ValueError where ``times`` ends without signal, or does not fall.
    """
    for step in reversed(list(steps_between(times, schedule))):
        guess, image = x, x
        for _ in range(1 + corrections):
            noise = denoise(guess, time_like(x, step.time)).noise
            image = (x - step.next_noise * noise) / step.next_signal
            guess = step.signal * image + step.noise * noise
        x = guess
        yield State(step.time, x, image)
