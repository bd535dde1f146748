import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from marmor.metrics import agreement, apart, share, share_difference


def test_wilson_interval_by_hand():
    # 8 of 10: pull = 3.8414588/10; centre = (0.8 + 0.19207294)/1.38414588 = 0.7167403;
    # spread = sqrt(0.38414588 * (0.16 + 0.09603647))/1.38414588 = 0.2265771.
    result = share(8, 10)
    assert result.value == 0.8
    assert result.low == pytest.approx(0.4901625, abs=1e-6)
    assert result.high == pytest.approx(0.9433178, abs=1e-6)
    assert result.count == 10


def test_shares_of_other_trials_differ_as_published():
    """Newcombe 1998, table II: 56 of 70 less 48 of 80 is 0.2, by method 10 from 0.0524 to 0.3339."""
    assert apart(share(56, 70), share(48, 80)) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_intervals_at_the_ends_have_width_and_exact_bounds():
    none, all_of_them = share(0, 20), share(20, 20)
    assert none.low == 0.0
    assert none.high == pytest.approx(0.1611252, abs=1e-6)
    assert all_of_them.high == 1.0
    assert all_of_them.low == pytest.approx(1 - none.high)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_interval_holds_its_value(trial):
    value, low, high, _ = share(*trial)
    assert 0 <= low <= value <= high <= 1


def test_share_of_nothing_is_unknown():
    value, low, high, count = share(0, 0)
    assert math.isnan(value)
    assert (low, high, count) == (0.0, 1.0, 0)


@pytest.mark.parametrize(("hits", "count"), [(-1, 3), (4, 3)])
def test_impossible_shares_are_refused(hits, count):
    with pytest.raises(ValueError, match="hits"):
        share(hits, count)


def test_confusion_has_rows_asked_and_columns_read():
    asked = torch.tensor([0, 0, 0, 1, 2, 2])
    read = torch.tensor([0, 2, 2, 1, 2, 0])
    result = agreement(asked, read, 4)
    expected = [[1, 0, 2, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    assert result.confusion.tolist() == expected
    assert result.overall == share(3, 6)
    assert result.per_class[:3] == [share(1, 3), share(1, 1), share(1, 2)]
    assert result.per_class[3].count == 0


def test_small_integer_dtypes_do_not_overflow():
    asked = torch.full((5,), 19, dtype=torch.uint8)
    assert agreement(asked, asked, 20).confusion[19, 19] == 5


@pytest.mark.parametrize(
    ("asked", "read"),
    [([0, 1], [0]), ([[0, 1]], [[0, 1]]), ([0, 3], [0, 0]), ([0, 0], [0, -1])],
)
def test_wrong_shapes_and_values_are_refused(asked, read):
    with pytest.raises(ValueError, match="must"):
        agreement(torch.tensor(asked), torch.tensor(read), 3)


def test_differences_on_the_same_trials_by_hand():
    # Of 10 trials the first alone hits 3, the second alone 1: (3 - 1)/12 ± 1.96 sqrt(5 - 4/12)/12.
    first = torch.tensor([True] * 3 + [False] + [True] * 6)
    second = torch.tensor([False] * 3 + [True] + [True] * 6)
    found = share_difference(first, second)
    assert found.value == pytest.approx(0.2)
    assert found.low == pytest.approx(2 / 12 - 1.959964 * (5 - 4 / 12) ** 0.5 / 12, abs=1e-6)
    assert found.high == pytest.approx(2 / 12 + 1.959964 * (5 - 4 / 12) ** 0.5 / 12, abs=1e-6)
    same = share_difference(first, first)
    assert same.low < same.value == 0 < same.high


@pytest.mark.parametrize("count", [0, 3])
def test_differences_need_as_many_trials_on_either_side(count):
    with pytest.raises(ValueError, match="vectors of one length"):
        share_difference(torch.ones(count, dtype=torch.bool), torch.ones(0, dtype=torch.bool))
