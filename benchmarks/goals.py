"""Figures held against what was set out to be reached: printed, and for results.json."""

from collections.abc import Iterable
from typing import NamedTuple

ROUNDING = 1e-9
"""By which a difference of shares may miss the points that it is."""


class Goal(NamedTuple):
    """What was measured, how much of it was wanted at the least, and how much was found."""

    what: str
    least: float
    found: float


def held_against(goals: Iterable[Goal]) -> list[dict[str, object]]:
    """Each goal with whether it is met; prints a line for each."""
    told = [{**goal._asdict(), "met": goal.found >= goal.least - ROUNDING} for goal in goals]
    for each in told:
        said = "met" if each["met"] else "NOT met"
        print(f"{each['what']}: {each['found']:.3g}, at least {each['least']:g} wanted: {said}")
    return told
