"""DPM-Solver++(2M) and its SDE form (Lu et al. 2022)."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from marmor.diffusion.samplers.steps import Denoise, Noise, State, steps_between, time_like
from marmor.diffusion.schedules import Schedule


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
    for step in steps_between(times, schedule):
        image = denoise(x, time_like(x, step.time)).image
        width = step.width
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
