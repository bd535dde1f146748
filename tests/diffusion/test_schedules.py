"""Schedules: ends, betas, and agreement of the discrete tables with the papers' products."""

import pytest
import torch

from marmor.diffusion import Cosine, Flow, linear_betas, script_betas

TIMES = torch.linspace(0, 1, 101, dtype=torch.float64)


@pytest.mark.parametrize("schedule", [Flow(), Cosine(), linear_betas(1000), script_betas(400)])
def test_clean_at_0_and_ever_noisier(schedule) -> None:
    signal, noise = schedule.signal(TIMES), schedule.noise(TIMES)
    assert signal[0] == 1
    assert noise[0] == 0
    assert (signal[1:] < signal[:-1]).all()
    assert (noise[1:] > noise[:-1]).all()


@pytest.mark.parametrize("schedule", [Cosine(), linear_betas(1000), script_betas(400)])
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
