"""Spacings: where a sampler stops, by hand-made lists."""

import pytest
import torch

from marmor.diffusion import (
    Flow,
    karras_times,
    leading_times,
    linear_betas,
    linspace_times,
    step_times,
    trailing_times,
    uniform_times,
)

SPACINGS = [leading_times, trailing_times, linspace_times]


def test_lists_by_hand() -> None:
    assert leading_times(5, 1000) == [0.801, 0.601, 0.401, 0.201, 0.001, 0.0]
    assert leading_times(5, 1000, first=2)[:2] == [0.802, 0.602]
    assert trailing_times(5, 1000) == [1.0, 0.8, 0.6, 0.4, 0.2, 0.0]
    assert linspace_times(5, 1000) == [1.0, 0.75, 0.501, 0.251, 0.001, 0.0]
    assert linspace_times(1, 1000) == [1.0, 0.0]
    assert uniform_times(4) == [1.0, 0.75, 0.5, 0.25, 0.0]


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("steps", [1, 3, 7, 15, 333, 1000])
def test_all_fall_end_clean_and_have_so_many_steps(spacing, steps: int) -> None:
    times = spacing(steps, 1000)
    assert times == sorted(set(times), reverse=True)
    assert len(times) == steps + 1
    assert times[-1] == 0
    assert 0 < times[-2] <= times[0] <= 1


@pytest.mark.parametrize("schedule", [Flow(), linear_betas()])
def test_karras_spaces_the_seventh_roots_of_the_ratio_evenly(schedule) -> None:
    times = karras_times(10, schedule, low=0.02, high=100.0)
    ratios = schedule.ratio(torch.tensor(times, dtype=torch.float64))
    roots = ratios[:-1] ** (1 / 7)
    assert times[-1] == 0
    assert ratios[0].item() == pytest.approx(100.0, rel=1e-6)
    assert ratios[-2].item() == pytest.approx(0.02, rel=1e-6)
    assert torch.allclose(roots[:-1] - roots[1:], (roots[0] - roots[1]).expand(9))


def test_karras_stays_within_a_schedule_with_less_noise() -> None:
    assert karras_times(4, linear_betas(), high=1e6)[0] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("steps", "wrong"),
    [([5, 0], "between 1 and 10"), ([11, 3], "between 1 and 10"), ([3, 3], "fall")],
)
def test_lists_that_cannot_be_walked_are_refused(steps: list[int], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        step_times(steps, 10)


def test_karras_goes_from_a_tables_last_step_to_its_first_and_elsewhere_from_80_to_0002() -> None:
    table = karras_times(5, linear_betas())
    assert [table[0], table[-2], table[-1]] == pytest.approx([1.0, 0.001, 0.0])
    times = torch.tensor(karras_times(5, Flow()), dtype=torch.float64)
    ratios = Flow().ratio(times).tolist()
    assert [ratios[0], ratios[-2], ratios[-1]] == pytest.approx([80.0, 0.002, 0.0])
