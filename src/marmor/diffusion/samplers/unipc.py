"""UniPC, a predictor and corrector that share one call a step (Zhao et al. 2023)."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from marmor.diffusion.samplers.steps import (
    Denoise,
    Noise,
    State,
    Step,
    half_log_snr,
    steps_between,
    time_like,
)
from marmor.diffusion.schedules import Schedule


class _Known(NamedTuple):
    """An image estimate and the lambda = log(alpha/sigma) at which it was made."""

    half_log_snr: float
    image: Tensor


def unipc(
    denoise: Denoise,
    x: Tensor,
    times: Sequence[float],
    schedule: Schedule,
    draw: Noise = torch.randn_like,
    order: int = 2,
) -> Iterator[State]:
    """UniPC-``order`` on the image estimate, with B(h) = e^h − 1 (Zhao et al. 2023, algorithms 5 and 6).

    Deterministic: ``draw`` is never called. The estimate made at the end of a step corrects that step
    and predicts the next, so a step costs one call and the order is one more than the predictor's. The
    first steps are of lower order; a step from pure noise or to no noise is of order 1.
    """
    del draw
    known: list[_Known] = []
    before: Step | None = None
    start = x
    for step in steps_between(times, schedule):
        image = denoise(x, time_like(x, step.time)).image
        if before is not None:
            x = _stepped(start, before, known, image)
        known = [*known, _Known(half_log_snr(step.signal, step.noise), image)][-order:]
        start, before = x, step
        x = _stepped(start, step, known)
        yield State(step.next_time, x, image)


def _stepped(x: Tensor, step: Step, known: list[_Known], arrived: Tensor | None = None) -> Tensor:
    """x over ``step`` with the estimates of earlier times and, to correct, the one at its end."""
    width, latest = step.width, known[-1]
    growth = -math.expm1(-width)
    direction = latest.image
    if math.isfinite(width):
        nodes = [
            ((older.half_log_snr - latest.half_log_snr) / width, older.image)
            for older in known[:-1]
            if math.isfinite(older.half_log_snr)
        ]
        nodes += [] if arrived is None else [(1.0, arrived)]
        weights = _weights([place for place, _ in nodes], width)
        for (place, image), weight in zip(nodes, weights, strict=True):
            direction = direction + weight / place * (image - latest.image)
    return step.next_noise / step.noise * x + step.next_signal * growth * direction


def _weights(places: Sequence[float], width: float) -> list[float]:
    """How much the difference quotient to each place counts (eq. 10, with h = −width).

    One place counts a half, which is enough for order 2 (section 3.3).
    """
    if len(places) < 2:
        return [0.5] * len(places)
    moments: list[float] = []
    remainder = math.expm1(-width)
    for power in range(1, len(places) + 1):
        remainder = remainder / -width - 1 / math.factorial(power)
        moments.append(remainder * math.factorial(power) / math.expm1(-width))
    return np.linalg.solve(np.vander(places, increasing=True).T, moments).tolist()
