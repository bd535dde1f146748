import math

import pytest

from marmor.metrics import mean


def test_students_interval():
    found = mean([1.0, 2.0, 3.0])
    assert found.value == 2
    assert found.high - 2 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert found.low == pytest.approx(4 - found.high)
    assert found.count == 3


def test_one_run_and_none():
    assert mean([0.5]) == (0.5, -math.inf, math.inf, 1)
    with pytest.raises(ValueError, match="nothing"):
        mean([])
