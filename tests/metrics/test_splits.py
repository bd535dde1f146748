"""Intervals of figures: how often they hold the truth."""

import statistics

import pytest
import torch
from torch import Tensor

from marmor.metrics import difference, figures, frechet_distances, kernel_distance, manifold
from marmor.metrics.splits import LEAST, _student


def _shift(a: Tensor, b: Tensor) -> tuple[float, ...]:
    return (float(a.mean() - b.mean()), float(len(a)))


def test_the_interval_of_a_difference_of_means_is_the_known_one() -> None:
    stream = torch.Generator().manual_seed(0)
    variances = []
    for _ in range(600):
        a, b = (torch.randn(200, 1, generator=stream, dtype=torch.float64) for _ in range(2))
        shift, _ = figures(_shift, a, b)
        variances.append(((shift.high - shift.value) / _student()) ** 2)
    assert statistics.fmean(variances) == pytest.approx(2 / 200, rel=0.06)


def test_intervals_hold_the_truth_nineteen_times_of_twenty() -> None:
    stream = torch.Generator().manual_seed(1)
    held = 0
    for _ in range(200):
        a = torch.randn(100, 1, generator=stream, dtype=torch.float64) + 0.5
        b = torch.randn(100, 1, generator=stream, dtype=torch.float64)
        shift, _ = figures(_shift, a, b)
        held += shift.low < 0.5 < shift.high
    assert 180 <= held <= 198


def test_the_figure_itself_is_of_all_samples() -> None:
    a, b = torch.randn(40, 2), torch.randn(50, 2)
    shift, count = figures(_shift, a, b)
    assert shift.value == pytest.approx(float(a.mean() - b.mean()), abs=1e-6)
    assert count.value == 40


def test_the_share_that_is_done_is_told() -> None:
    told: list[float] = []
    figures(_shift, torch.randn(40, 2), torch.randn(50, 2), watch=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_sorted_samples_give_what_shuffled_ones_do() -> None:
    stream = torch.Generator().manual_seed(2)
    a, b = torch.randn(400, 1, generator=stream), torch.randn(400, 1, generator=stream)

    def halves(a: Tensor, b: Tensor) -> tuple[float, ...]:
        first, second = a.tensor_split(2)
        return (float(first.mean() - second.mean()),)

    [apart] = figures(halves, a.sort(0).values, b)
    assert apart.low < 0 < apart.high


def test_few_samples_have_no_interval() -> None:
    few = torch.zeros(LEAST - 1, 2)
    with pytest.raises(ValueError, match="intervals need 32"):
        figures(_shift, few, torch.zeros(100, 2))


def test_what_both_were_held_against_leaves_their_difference() -> None:
    stream = torch.Generator().manual_seed(3)
    first = torch.randn(100, 1, generator=stream)
    second, real = first + 0.1, 5 * torch.randn(100, 1, generator=stream)
    [a, _], [b, _] = figures(_shift, first, real), figures(_shift, second, real)
    apart = difference(b, a)
    assert apart.value == pytest.approx(0.1, abs=1e-5)
    assert apart.high - apart.low < 1e-4 < a.high - a.low


@pytest.mark.parametrize("narrower", [1.0, 0.8])
def test_intervals_of_all_seven_figures_are_right_from_both_sides(narrower: float) -> None:
    stream = torch.Generator().manual_seed(5)

    def seven(a: Tensor, b: Tensor) -> tuple[float, ...]:
        return (*frechet_distances(a, b), kernel_distance(a, b), *manifold(a, b))

    found = []
    for _ in range(60):
        a, b = (torch.randn(240, 8, generator=stream, dtype=torch.float64) for _ in range(2))
        found.append(figures(seven, narrower * a, b))
    for each in zip(*found, strict=True):
        spread = statistics.stdev(figure.value for figure in each)
        told = statistics.fmean(((f.high - f.value) / _student()) ** 2 for f in each) ** 0.5
        assert 0.75 * spread < told < 1.3 * spread  # the spread of 60 is sure to a tenth
        truth = statistics.fmean(figure.value for figure in each)
        assert statistics.fmean(f.low < truth < f.high for f in each) >= 0.88
