import math

import pytest

from marmor.metrics import mean, mean_within


def test_students_interval():
    found = mean([1.0, 2.0, 3.0])
    assert found.value == 2
    assert found.high - 2 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert found.low == pytest.approx(4 - found.high)
    assert found.count == 3


def test_intervals_of_several_together_are_wider():
    found = mean([1.0, 2.0, 3.0], among=5)  # t of 2 degrees of freedom at 1 − 0.05 / 10
    assert found.high - 2 == pytest.approx(9.924843 / math.sqrt(3), rel=1e-6)
    assert mean([1.0, 2.0, 3.0], among=1) == mean([1.0, 2.0, 3.0])


def test_one_run_and_none():
    assert mean([0.5]) == (0.5, -math.inf, math.inf, 1)
    with pytest.raises(ValueError, match="nothing"):
        mean([])


def test_what_differs_between_groups_is_no_error() -> None:
    near, far = [1.0, 2.0, 3.0], [101.0, 102.0, 103.0]
    found = mean_within([near, far])
    assert found.value == 52
    assert found.high - found.value == pytest.approx(2.7764451 / 6**0.5)  # t of 4, variance 1
    assert found.count == 6
    assert mean_within([near]) == mean(near)
    assert mean_within([[1.0], [2.0]]).high == math.inf
    with pytest.raises(ValueError, match="nothing"):
        mean_within([near, []])
