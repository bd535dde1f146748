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


def mean(values: Sequence[float], among: int = 1) -> Mean:
    """The mean and Student's 95 % interval; of one run the interval is unbounded.

    ``among``: how many intervals are to hold all together, with 95 %; each is widened for it (Bonferroni).
    Raises ValueError for no values.
    """
    return mean_within([values], among)


def mean_within(groups: Sequence[Sequence[float]], among: int = 1) -> Mean:
    """The mean of all values, with the interval that it has where the groups stay as they are.

    Only what differs inside groups counts, by its pooled variance: Student's with N − G degrees of freedom
    (stratified sampling, Cochran 1977, chapter 5). Without any left the interval is unbounded. Raises
    ValueError for no groups and for an empty one.
    """
    if not groups or not all(groups):
        raise ValueError("there is no mean of nothing")
    count = sum(map(len, groups))
    centre = math.fsum(value for group in groups for value in group) / count
    free = count - len(groups)
    if free == 0:
        return Mean(centre, -math.inf, math.inf, count)
    from scipy.stats import t as student  # slow to import, and few commands need it

    squares = math.fsum(
        (value - statistics.fmean(group)) ** 2 for group in groups for value in group
    )
    reach = float(student.ppf(1 - 0.025 / among, free)) * math.sqrt(squares / free / count)
    return Mean(centre, centre - reach, centre + reach, count)
