"""Schedules: ends, betas, and agreement of the discrete tables with the papers' products."""

import pytest
import torch

from marmor.diffusion import (
    Cosine,
    Discrete,
    Flow,
    VarianceExploding,
    cosine_betas,
    from_betas,
    linear_betas,
    scaled_linear_betas,
    script_betas,
    sigmoid_betas,
    zero_terminal_snr,
)

TIMES = torch.linspace(0, 1, 101, dtype=torch.float64)
TABLES = [
    linear_betas(1000),
    scaled_linear_betas(1000),
    cosine_betas(1000),
    sigmoid_betas(1000),
    script_betas(400),
    zero_terminal_snr(linear_betas(1000)),
]


@pytest.mark.parametrize("schedule", [Flow(), Cosine(), *TABLES])
def test_clean_at_0_and_ever_noisier(schedule) -> None:
    signal, noise = schedule.signal(TIMES), schedule.noise(TIMES)
    assert signal[0] == 1
    assert noise[0] == 0
    assert (signal[1:] < signal[:-1]).all()
    assert (noise[1:] > noise[:-1]).all()


@pytest.mark.parametrize("schedule", [Cosine(), *TABLES])
def test_variance_is_preserved(schedule) -> None:
    power = schedule.signal(TIMES) ** 2 + schedule.noise(TIMES) ** 2
    assert torch.allclose(power, torch.ones_like(power))


def test_linear_betas_multiply_up() -> None:
    product = 1.0
    schedule = linear_betas(1000)
    for k in range(1, 1001):
        product *= 1 - (1e-4 + (0.02 - 1e-4) * (k - 1) / 999)
        if k in (1, 10, 500, 1000):
            at = torch.tensor(k / 1000, dtype=torch.float64)
            assert schedule.signal(at).item() ** 2 == pytest.approx(product, rel=1e-9)


def test_script_betas_include_step_0() -> None:
    betas = [1e-4 + (0.02 - 1e-4) * k / 400 for k in range(401)]
    product = (1 - betas[0]) * (1 - betas[1]) * (1 - betas[2])
    at = torch.tensor(2 / 400, dtype=torch.float64)
    assert script_betas(400).signal(at).item() ** 2 == pytest.approx(product, rel=1e-9)


def test_no_signal_at_all_at_the_end_of_the_circle() -> None:
    assert Cosine().signal(torch.tensor(1.0)) == 0


@pytest.mark.parametrize("schedule", [Flow(), Cosine(), VarianceExploding(), *TABLES])
def test_the_time_of_a_ratio_is_where_the_ratio_is(schedule) -> None:
    times = torch.linspace(0, 0.99, 100, dtype=torch.float64)
    assert torch.allclose(schedule.time_at(schedule.ratio(times)), times, atol=1e-6)
    assert schedule.time_at(torch.tensor(torch.inf)) == 1


def test_a_table_without_signal_at_its_end_is_otherwise_the_same_curve() -> None:
    """Lin et al. 2023: the first step keeps its signal, the last has none, between them linear."""
    plain = linear_betas(1000)
    steps = torch.arange(1, 1001, dtype=torch.float64) / 1000
    before, after = plain.signal(steps), zero_terminal_snr(plain).signal(steps)
    assert after[-1] == 0
    assert after[0] == pytest.approx(before[0].item(), abs=1e-12)
    slopes = (after[1:] - after[:-1]) / (before[1:] - before[:-1])
    assert torch.allclose(slopes, slopes[0].expand_as(slopes), rtol=1e-6)


def test_between_the_last_two_steps_of_such_a_table_there_is_no_signal_either() -> None:
    table = Discrete(torch.tensor([0.5, 0.0]))
    signal = table.signal(torch.tensor([0.5, 0.75, 1.0], dtype=torch.float64))
    assert signal.tolist() == pytest.approx([0.5**0.5, 0.0, 0.0])


def test_exploding_noise_rises_as_karras_sigmas_do() -> None:
    """Karras et al. 2022, eq. 5, with sigma_min 0: the seventh roots are evenly spaced."""
    schedule = VarianceExploding(80.0)
    sigmas = schedule.noise(torch.linspace(0, 1, 9, dtype=torch.float64))
    roots = sigmas ** (1 / 7)
    assert sigmas[-1].item() == pytest.approx(80)
    assert torch.allclose(roots[1:] - roots[:-1], roots[1].expand(8))


def test_betas_are_the_noise_that_each_step_adds() -> None:
    schedule = from_betas(torch.tensor([0.1, 0.4]))
    at = torch.tensor([0.5, 1.0], dtype=torch.float64)
    assert (schedule.signal(at) ** 2).tolist() == pytest.approx([0.9, 0.9 * 0.6])
