"""Where a sampler stops on its way from noise to image: falling lists of times that end clean."""

import itertools
from collections.abc import Sequence

import torch

from marmor.diffusion.schedules import Discrete, Schedule

LARGEST = 1e6
"""A ratio that is pure noise; schedules without signal at their end have none."""


def uniform_times(steps: int, start: float = 1.0, end: float = 0.0) -> list[float]:
    """``steps`` equal steps from ``start`` to ``end``: steps + 1 times, both ends included."""
    return [start + (end - start) * i / steps for i in range(steps)] + [end]


def linspace_times(steps: int, of: int) -> list[float]:
    """Both ends of a table of ``of`` steps and those evenly between, rounded: 1 … ``of``."""
    places = torch.linspace(of - 1, 0, steps, dtype=torch.float64) if steps > 1 else [of - 1]
    return step_times([round(float(place)) + 1 for place in places], of)


def leading_times(steps: int, of: int, first: int = 1) -> list[float]:
    """Every (``of`` // ``steps``)-th step of a table from ``first`` on, as DDIM's script does.

    The last step of the table, the noisiest, is not among them (Lin et al. 2023, section 3.3).
    """
    return step_times([first + (of // steps) * i for i in reversed(range(steps))], of)


def trailing_times(steps: int, of: int) -> list[float]:
    """Every (``of`` / ``steps``)-th step of a table from the noisiest down, rounded."""
    return step_times([round(of - of / steps * i) for i in range(steps)], of)


def karras_times(
    steps: int,
    schedule: Schedule,
    low: float | None = None,
    high: float | None = None,
    rho: float = 7.0,
) -> list[float]:
    """Ratios sigma/alpha between ``high`` and ``low`` whose rho-th roots are evenly spaced, then 0.

    Karras et al. 2022, eq. 5. The ends are those of a table's first and last step when left out, and
    0.002 and 80, as there, for continuous time. A ratio above the schedule's largest is that.
    """
    largest = schedule.ratio(torch.ones((), dtype=torch.float64)).clamp(max=LARGEST)
    if isinstance(schedule, Discrete):
        first = torch.tensor(1 / schedule.steps, dtype=torch.float64)
        low, high = low or schedule.ratio(first).item(), high or largest.item()
    ends = torch.tensor([high or 80.0, low or 0.002], dtype=torch.float64).clamp(max=largest)
    ends = ends ** (1 / rho)
    ratios = torch.lerp(ends[0], ends[1], torch.linspace(0, 1, steps, dtype=torch.float64)) ** rho
    return [*schedule.time_at(ratios).tolist(), 0.0]


def step_times(steps: Sequence[int], of: int) -> list[float]:
    """The times of an explicit list of a table's steps (1 … ``of``, falling), then 0, the clean image.

    Raises ValueError for a step outside the table and for steps that do not fall.
    """
    if not steps or not all(0 < step <= of for step in steps):
        raise ValueError(f"steps must lie between 1 and {of}: {list(steps)}")
    if any(after >= before for before, after in itertools.pairwise(steps)):
        raise ValueError(f"steps must fall: {list(steps)}")
    return [step / of for step in steps] + [0.0]
