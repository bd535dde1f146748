"""Budgets: one unit, progress in [0, 1], rates that end with the budget."""

import pytest

from marmor.base.errors import UserError
from marmor.training import Budget, linear_decay, warmup_then_linear


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (Budget(steps=200), 0.25),
        (Budget(images=400), 0.5),
        (Budget(epochs=2), 0.4),
        (Budget(minutes=2), 0.75),
    ],
)
def test_progress_follows_its_unit(budget: Budget, expected: float) -> None:
    assert budget.progress(step=50, images=200, seconds=90, dataset=250) == pytest.approx(expected)


def test_progress_never_passes_1() -> None:
    assert Budget(steps=10).progress(11, 0, 0, 1) == 1


@pytest.mark.parametrize("given", [{}, {"steps": 1, "minutes": 1}, {"steps": 0}, {"minutes": -1}])
def test_anything_but_one_positive_unit_is_refused(given: dict[str, int]) -> None:
    with pytest.raises(UserError, match="--"):
        Budget(**given)


def test_the_usual_minutes_are_taken_where_nothing_is_asked_for() -> None:
    assert Budget.asked(30) == Budget(minutes=30)
    assert Budget.asked(30, steps=5) == Budget(steps=5)
    with pytest.raises(UserError, match="one unit"):
        Budget.asked(30, images=5, epochs=1)


def test_rates() -> None:
    assert warmup_then_linear(0.015) == pytest.approx(0.5)
    assert warmup_then_linear(0.03) == 1
    assert warmup_then_linear(0.515) == pytest.approx(0.5)
    assert linear_decay(0.25) == 0.75
