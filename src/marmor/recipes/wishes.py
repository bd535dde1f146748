"""How images are drawn: a model's own way, with a person's wishes in it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from marmor.base.errors import UserError, unknown_name
from marmor.diffusion import (
    Discrete,
    Schedule,
    ddim,
    ddpm,
    dpm_solver_2m,
    euler,
    heun,
    karras_times,
    leading_times,
    linspace_times,
    trailing_times,
    uniform_times,
    unipc,
)
from marmor.recipes.designs import Drawing

SOLVERS = {
    "dpm-solver++": dpm_solver_2m,
    "unipc": unipc,
    "heun": heun,
    "euler": euler,
    "ddim": ddim,
    "ddpm": ddpm,
}
STOCHASTIC = ("dpm-solver++", "ddim")
"""Solvers that take eta."""

OF_A_TABLE: dict[str, Callable[[int, int], list[float]]] = {
    "leading": leading_times,
    "trailing": trailing_times,
    "linspace": linspace_times,
}
SPACINGS = ("uniform", "karras", *OF_A_TABLE)


@dataclass(frozen=True)
class Wishes:
    """How a person wants images drawn; what is left out stays as the model has it.

    Args:
        solver: dpm-solver++, unipc, heun, euler, ddim or ddpm.
        steps: of the solver, one network call each, two for heun.
        spacing: of the times: uniform, karras, or for a table of steps leading, trailing, linspace.
        eta: fresh noise at each step of dpm-solver++ and ddim, from 0 (none) to 1 (as DDPM).
        guidance: scale; 1 is none, the papers' w is scale − 1.
        rescale: how far guided estimates get back the spread of unguided ones, from 0 to 1.
        clip: estimated images stay between −clip and clip; 0 for not at all.
    """

    solver: str | None = None
    steps: int | None = None
    spacing: str | None = None
    eta: float | None = None
    guidance: float | None = None
    rescale: float | None = None
    clip: float | None = None


def changed(drawing: Drawing, wishes: Wishes) -> Drawing:
    """A model's way of drawing with a person's wishes in it; UserError for what cannot be."""
    if wishes.solver is not None and wishes.solver not in SOLVERS:
        raise unknown_name("solver", wishes.solver, SOLVERS)
    if wishes.spacing is not None and wishes.spacing not in SPACINGS:
        raise unknown_name("spacing", wishes.spacing, SPACINGS)
    if wishes.steps is not None and wishes.steps < 1:
        raise UserError(f"--steps must be at least 1, not {wishes.steps}.")
    if wishes.guidance is not None and not math.isfinite(wishes.guidance):
        raise UserError(f"--guidance must be a finite number, not {wishes.guidance}.")
    for name, value in (("eta", wishes.eta), ("rescale", wishes.rescale)):
        if value is not None and not 0 <= value <= 1:
            raise UserError(f"--{name} must lie between 0 and 1, not {value}.")
    if wishes.clip is not None and not 0 <= wishes.clip < math.inf:
        raise UserError(f"--clip must be 0 or a positive number, not {wishes.clip}.")
    given = {key: value for key, value in asdict(wishes).items() if value is not None}
    solver = given.get("solver", drawing.solver)
    if "eta" in given and solver not in STOCHASTIC:
        raise UserError(f"--eta is for {' and '.join(STOCHASTIC)}; {solver} has no such choice.")
    if wishes.clip == 0:
        given["clip"] = None
    return replace(drawing, **given)


def times_of(drawing: Drawing, schedule: Schedule) -> Sequence[float]:
    """The times that a model stops at; UserError for a spacing that its schedule does not have."""
    if drawing.spacing == "uniform":
        return uniform_times(drawing.steps, drawing.start)
    if drawing.spacing == "karras":
        return karras_times(drawing.steps, schedule)
    if not isinstance(schedule, Discrete):
        raise UserError(
            f"--spacing {drawing.spacing} picks from a table of steps, and this model's time is "
            "continuous; use uniform or karras."
        )
    if drawing.steps > schedule.steps:
        raise UserError(
            f"--steps {drawing.steps} is more than the {schedule.steps} steps that this model has."
        )
    return OF_A_TABLE[drawing.spacing](drawing.steps, schedule.steps)


def options_of(drawing: Drawing) -> dict[str, Any]:
    """What the solver of a drawing takes besides noise and times."""
    return {"eta": drawing.eta} if drawing.solver in STOCHASTIC else {}
