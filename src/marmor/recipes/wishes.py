"""How images are drawn: a model's own way, with a person's wishes in it."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from marmor.base.errors import UserError, unknown_name
from marmor.diffusion import (
    Churn,
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
CHURNED = ("heun", "euler")
"""Solvers that take churn."""

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
        times: explicit ones, falling, comma-separated, in (0, 1]: step k of a table of T is k / T.
        eta: fresh noise at each step of dpm-solver++ and ddim, from 0 (none) to 1 (as DDPM with the small
            variance; ddpm itself takes the large one).
        churn: noise added before steps of heun and euler, over all steps (S_churn); 0 for none.
        guidance: scale; 1 is none, the papers' w is scale − 1.
        guidance_apart: scales of single conditions in place of that one, such as class=3,domain=1.5; what
            each condition adds to those before it is scaled.
        guided_from: guidance acts while t, 1 at pure noise and 0 at the image, is at least this.
        guided_to: guidance acts while t is at most this.
        rescale: how far guided estimates get back the spread of unguided ones, from 0 to 1.
        clip: estimated images stay between −clip and clip; 0 for not at all.
        threshold: estimated images are clipped at this quantile of their magnitudes and divided by it
            (dynamic thresholding, 0.995 as published); 0 for not at all.
        black: the value that stands for black: -1 for models of images in [-1, 1], 0 for those in [0, 1].
    """

    solver: str | None = None
    steps: int | None = None
    spacing: str | None = None
    times: str | None = None
    eta: float | None = None
    churn: float | None = None
    guidance: float | None = None
    guidance_apart: str | None = None
    guided_from: float | None = None
    guided_to: float | None = None
    rescale: float | None = None
    clip: float | None = None
    threshold: float | None = None
    black: float | None = None


UNCHANGED = Wishes()


def changed(drawing: Drawing, wishes: Wishes) -> Drawing:
    """A model's way of drawing with a person's wishes in it; UserError for what cannot be."""
    _check_values(wishes)
    given = {key: value for key, value in asdict(wishes).items() if value is not None}
    solver = given.get("solver", drawing.solver)
    for name, solvers in (("eta", STOCHASTIC), ("churn", CHURNED)):
        if name in given and solver not in solvers:
            raise UserError(
                f"--{name} is for {' and '.join(solvers)}; {solver} has no such choice."
            )
    if wishes.times is not None:
        given["times"] = _times(wishes)
        given["steps"] = len(given["times"])
    if wishes.guidance_apart is not None:
        given["guidance_apart"] = _scales(wishes.guidance_apart)
    for name in ("clip", "threshold"):
        if given.get(name) == 0:
            given[name] = None
    return replace(drawing, **given)


def _check_values(wishes: Wishes) -> None:
    """UserError for a value that no model could be drawn with."""
    for name, value, known in (
        ("solver", wishes.solver, SOLVERS),
        ("spacing", wishes.spacing, SPACINGS),
    ):
        if value is not None and value not in known:
            raise unknown_name(name, value, known)
    if wishes.steps is not None and wishes.steps < 1:
        raise UserError(f"--steps must be at least 1, not {wishes.steps}.")
    if wishes.guidance is not None and not math.isfinite(wishes.guidance):
        raise UserError(f"--guidance must be a finite number, not {wishes.guidance}.")
    for name in ("eta", "rescale", "guided_from", "guided_to", "threshold"):
        value = getattr(wishes, name)
        if value is not None and not 0 <= value <= 1:
            flag = name.replace("_", "-")
            raise UserError(f"--{flag} must lie between 0 and 1, not {value}.")
    for name in ("clip", "churn"):
        value = getattr(wishes, name)
        if value is not None and not 0 <= value < math.inf:
            raise UserError(f"--{name} must be 0 or a positive number, not {value}.")
    if wishes.black is not None and not -math.inf < wishes.black < 1:
        raise UserError(f"--black must lie below 1, which is white, not at {wishes.black}.")


def _scales(text: str) -> dict[str, float]:
    """``class=3,domain=1.5`` as scales by condition; UserError for anything else."""
    pairs = [part.strip().partition("=") for part in text.split(",")]
    try:
        scales = {name: float(scale) for name, _, scale in pairs}
    except ValueError:
        scales = {}
    if not scales or not all(map(math.isfinite, scales.values())) or len(scales) < len(pairs):
        raise UserError(
            f"--guidance-apart {text!r} should be NAME=SCALE for each condition, such as class=3,domain=1.5."
        )
    return scales


def _times(wishes: Wishes) -> tuple[float, ...]:
    """The explicit times of ``wishes``; UserError where they cannot be followed."""
    assert wishes.times is not None
    if wishes.steps is not None or wishes.spacing is not None:
        raise UserError("--times says every time; leave --steps and --spacing out.")
    try:
        times = tuple(float(part) for part in wishes.times.split(","))
    except ValueError:
        times = ()
    falling = all(after < before for before, after in itertools.pairwise(times))
    if not times or not falling or not 0 < times[-1] <= times[0] <= 1:
        raise UserError(
            f"--times {wishes.times!r} should be numbers that fall from at most 1 to above 0, for "
            "example 0.99,0.8,0.5,0.2."
        )
    return times


def times_of(drawing: Drawing, schedule: Schedule) -> Sequence[float]:
    """The times that a model stops at; UserError for a spacing that its schedule does not have."""
    if drawing.times is not None:
        return [*drawing.times, 0.0]
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
    if drawing.solver in STOCHASTIC:
        return {"eta": drawing.eta}
    return {"churn": Churn(drawing.churn)} if drawing.solver in CHURNED else {}
