"""A figure over several runs."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Mean(NamedTuple):
    """``value`` of ``count`` runs, between the bounds of its 95 % interval."""

    value: float
    low: float
    high: float
    count: int


def mean(values: Sequence[float]) -> Mean:
    """The mean and Student's 95 % interval; of one run the interval is unbounded.

    Raises ValueError for no values.
    """
    if not values:
        raise ValueError("there is no mean of nothing")
    centre = statistics.fmean(values)
    if len(values) == 1:
        return Mean(centre, -math.inf, math.inf, 1)
    from scipy.stats import t as student  # slow to import, and few commands need it

    error = statistics.stdev(values) / math.sqrt(len(values))
    reach = float(student.ppf(0.975, len(values) - 1)) * error
    return Mean(centre, centre - reach, centre + reach, len(values))
