"""Two ways of doing the same, timed in turn, so that both see the same machine."""

import statistics
from collections.abc import Callable


def in_turn(
    runs: int, first: Callable[[], float], second: Callable[[], float]
) -> tuple[float, float]:
    """Median seconds of both, by what they say, after one call each that is not counted."""
    first()
    second()
    pairs = [(first(), second()) for _ in range(runs)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)
