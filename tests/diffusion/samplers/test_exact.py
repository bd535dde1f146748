"""Samplers against exact solutions: Gaussian data, a mixture, a point mass, orders of convergence."""

import itertools
import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from marmor.diffusion import (
    Churn,
    Cosine,
    Estimate,
    Flow,
    Schedule,
    VarianceExploding,
    ddim,
    ddim_inversion,
    ddpm,
    dpm_solver_2m,
    euler,
    exact_denoiser,
    heun,
    linear_betas,
    uniform_times,
    unipc,
)

STIRRED = Churn(amount=4.0)
DETERMINISTIC = [ddim, dpm_solver_2m, euler, heun, unipc, partial(unipc, order=3)]
STOCHASTIC = [
    ddpm,
    *(partial(solver, eta=0.7) for solver in (ddim, dpm_solver_2m)),
    *(partial(solver, churn=STIRRED) for solver in (euler, heun)),
]
SCHEDULES = [Flow(), Cosine(), linear_betas(1000)]


def gaussian(schedule: Schedule, std: float) -> Callable[[Tensor, Tensor], Estimate]:
    """The optimal denoiser of images of one pixel drawn from N(0, std²): linear in x."""
    return exact_denoiser(schedule, torch.zeros(1, 1, 1, 1), torch.tensor([std]), torch.ones(1))


def bimodal(schedule: Schedule) -> Callable[[Tensor, Tensor], Estimate]:
    """The optimal denoiser of one pixel from 0.3·N(−0.8, 0.15²) + 0.7·N(0.5, 0.3²)."""
    means = torch.tensor([-0.8, 0.5]).view(2, 1, 1, 1)
    return exact_denoiser(schedule, means, torch.tensor([0.15, 0.3]), torch.tensor([0.3, 0.7]))


def last(states) -> Tensor:
    for state in states:
        x = state.x
    return x


def one(value: float = 1.0) -> Tensor:
    return torch.full((1, 1, 1, 1), value, dtype=torch.float64)


def log_times(steps: int, high: float, low: float) -> list[float]:
    """Times of Flow at which sigma/alpha falls from ``high`` to ``low`` by a constant factor."""
    ratios = [high * (low / high) ** (i / steps) for i in range(steps + 1)]
    return [ratio / (1 + ratio) for ratio in ratios]


@pytest.mark.parametrize("steps", [10, 50])
def test_ddim_shrinks_a_unit_gaussian_by_the_known_factor(steps: int) -> None:
    """Equal angles on the circle: std = cos(π/2N)^N."""
    schedule = Cosine()
    x = last(ddim(gaussian(schedule, 1.0), one(), uniform_times(steps), schedule))
    assert x.item() == pytest.approx(math.cos(math.pi / 2 / steps) ** steps, abs=1e-6)


@pytest.mark.parametrize("sampler", [*DETERMINISTIC, *STOCHASTIC])
@pytest.mark.parametrize("schedule", [*SCHEDULES, VarianceExploding()])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_a_point_mass_comes_back_exactly(sampler, schedule: Schedule, steps: int) -> None:
    point = torch.linspace(-1, 1, 12, dtype=torch.float64).view(1, 3, 2, 2)
    denoise = exact_denoiser(schedule, point, torch.zeros(1), torch.ones(1))
    x = torch.randn(2, 3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    result = last(sampler(denoise, x, uniform_times(steps), schedule))
    assert torch.allclose(result, point.expand_as(x), atol=1e-9)


ORDERS = [(ddim, 1), (euler, 1), (heun, 2), (dpm_solver_2m, 2), (unipc, 3)]


@pytest.mark.parametrize(("sampler", "order"), ORDERS)
def test_order_of_convergence(sampler, order: int) -> None:
    """Gaussian data of std 0.5 along sigma/alpha = 10 → 0.02, a log grid, N = 20 … 160."""
    std, high, low, schedule = 0.5, 10.0, 0.02, Flow()
    exact_ratio = math.sqrt((std**2 + low**2) / (std**2 + high**2))
    errors = []
    for steps in (20, 40, 80, 160):
        times = log_times(steps, high, low)
        start = one(schedule.signal(torch.tensor(times[0], dtype=torch.float64)).item())
        x = last(sampler(gaussian(schedule, std), start, times, schedule))
        errors.append(abs(x.item() / (1 - times[-1]) - exact_ratio))
    slopes = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert slopes[-1] == pytest.approx(order, abs=0.25)


@pytest.mark.parametrize("sampler", [ddim, euler, heun, dpm_solver_2m, unipc])
def test_all_solve_the_same_equation_where_it_is_not_linear(sampler) -> None:
    """A mixture of two Gaussians: every solver arrives where the finest steps of another do."""
    schedule = Flow()
    x = torch.linspace(-2, 2, 9, dtype=torch.float64).view(-1, 1, 1, 1)
    truth = last(heun(bimodal(schedule), x, log_times(1000, 100.0, 0.01), schedule))
    found = last(sampler(bimodal(schedule), x, log_times(300, 100.0, 0.01), schedule))
    allowed = 5e-2 if sampler in (ddim, euler) else 2e-3
    assert (found - truth).abs().max() < allowed


def test_euler_without_churn_is_ddim() -> None:
    schedule, times = linear_betas(1000), uniform_times(17)
    results = [
        last(solver(bimodal(schedule), one(0.3), times, schedule)) for solver in (ddim, euler)
    ]
    assert torch.equal(*results)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_inversion_goes_back_the_way_that_sampling_came(schedule: Schedule) -> None:
    """The error of the round trip falls with the steps, and with corrections it is gone."""
    image = torch.linspace(-0.9, 0.9, 7, dtype=torch.float64).view(-1, 1, 1, 1)
    denoise = bimodal(schedule)

    def error(steps: int, corrections: int = 0) -> float:
        times = uniform_times(steps, start=0.9)
        noise = last(ddim_inversion(denoise, image, times, schedule, corrections))
        return (last(ddim(denoise, noise, times, schedule)) - image).abs().max().item()

    errors = [error(steps) for steps in (25, 50, 100, 200, 400)]
    assert errors == sorted(errors, reverse=True)
    assert math.log2(errors[-2] / errors[-1]) == pytest.approx(1, abs=0.25)
    assert error(100, corrections=40) < 1e-6


def test_inversion_needs_signal_where_it_starts() -> None:
    with pytest.raises(ValueError, match="no signal"):
        next(ddim_inversion(gaussian(Flow(), 1.0), one(), [1.2, 1.0], Flow()))


def test_ddim_with_eta_1_is_the_ddpm_posterior() -> None:
    """All 1000 steps: the same mean and the same draws give the same image."""
    schedule = linear_betas(1000)
    times = uniform_times(1000)
    start = torch.randn(3, 1, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    results = []
    for sampler, options in ((ddim, {"eta": 1.0}), (ddpm, {"variance": "small"})):
        stream = torch.Generator().manual_seed(2)

        def draw(x: Tensor, stream: torch.Generator = stream) -> Tensor:
            return torch.randn(x.shape, dtype=x.dtype, generator=stream)

        steps = sampler(bimodal(schedule), start, times, schedule, draw=draw, **options)
        results.append(last(steps))
    assert torch.allclose(*results, atol=1e-12)


def variance_after(sampler, std: float, times: list[float], schedule: Schedule) -> float:
    """Var of x at the last time from N(0, 1) on, without sampling: every step is linear in x and noise.

    Image 0 starts at one and gets no noise, image k starts at zero and gets a one as its k-th draw.
    """
    x = torch.zeros(len(times), 1, 1, 1, dtype=torch.float64)
    x[0] = 1.0
    draws = itertools.count(1)

    def draw(x: Tensor) -> Tensor:
        noise = torch.zeros_like(x)
        noise[next(draws)] = 1.0
        return noise

    steps = sampler(gaussian(schedule, std), x, times, schedule, draw=draw)
    return last(steps).square().sum().item()


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("solver", [ddim, dpm_solver_2m])
def test_fresh_noise_keeps_the_variance_of_gaussian_data(solver, eta: float) -> None:
    """Whatever eta, the distribution is that of the data: here 0.25, from pure noise at t = 1."""
    sampler = partial(solver, eta=eta)
    assert variance_after(sampler, 0.5, uniform_times(400), Flow()) == pytest.approx(0.25, rel=0.02)


@pytest.mark.parametrize("amount", [5.0, 40.0])
@pytest.mark.parametrize("solver", [euler, heun])
def test_churn_keeps_the_variance_of_gaussian_data(solver, amount: float) -> None:
    sampler = partial(solver, churn=Churn(amount))
    times = [*log_times(400, 100.0, 0.01), 0.0]
    # Starts at variance 1 in place of alpha²·0.25 + sigma², hence 1.02 of the data's variance.
    allowed = 0.07 if solver is euler else 0.025
    assert variance_after(sampler, 0.5, times, Flow()) == pytest.approx(0.25, rel=allowed)


def test_churn_acts_between_its_bounds_and_grows_by_at_most_root_2() -> None:
    churn = Churn(amount=10.0, low=0.1, high=5.0)
    assert [churn.growth(ratio, 100) for ratio in (0.05, 0.1, 5.0, 6.0)] == [0.0, 0.1, 0.1, 0.0]
    assert churn.growth(1.0, 10) == pytest.approx(math.sqrt(2) - 1)


def test_the_stochastic_solver_replaces_as_much_noise_as_published() -> None:
    """SDE-DPM-Solver++ of order 1 over a step h: x weighs σ_s/σ_t e^-h, fresh noise σ_s √(1 - e^-2h)."""
    schedule, times = Flow(), [0.6, 0.4]
    width = math.log(0.6 / 0.4) - math.log(0.4 / 0.6)

    def silent(x: Tensor, t: Tensor) -> Estimate:
        return Estimate(torch.zeros_like(x), x)

    def after(start: float, noise: float) -> float:
        def draw(x: Tensor) -> Tensor:
            return torch.full_like(x, noise)

        return last(dpm_solver_2m(silent, one(start), times, schedule, draw=draw, eta=1.0)).item()

    assert after(1.0, 0.0) == pytest.approx(0.4 / 0.6 * math.exp(-width))
    assert after(0.0, 1.0) == pytest.approx(0.4 * math.sqrt(1 - math.exp(-2 * width)))


def test_ancestral_sampling_with_the_larger_variance_keeps_unit_variance() -> None:
    """Var of x after each exact linear step, computed without sampling: sum of both parts."""
    schedule = linear_betas(1000)
    times = uniform_times(1000)
    variance = 1.0
    denoise = gaussian(schedule, 1.0)
    for t, after in itertools.pairwise(times):
        pair = [t, after]
        mean = last(ddpm(denoise, one(), pair, schedule, draw=torch.zeros_like)).item()
        noisy = last(ddpm(denoise, one(), pair, schedule, draw=torch.ones_like)).item()
        variance = mean**2 * variance + (noisy - mean) ** 2
    # Without noise at the very last step, the posterior variance of that step is missing: 1e-4.
    assert variance == pytest.approx(1.0, abs=5e-3)


@pytest.mark.parametrize(("step", "before", "expected"), [(420, 400, 0.14771), (980, 960, 0.32460)])
def test_published_ddim_variances(step: int, before: int, expected: float) -> None:
    """diffusers' published variances; its step k is our k + 1 of 1000."""
    schedule = linear_betas(1000)
    times = [(step + 1) / 1000, (before + 1) / 1000]

    def silent(x: Tensor, t: Tensor) -> Estimate:
        return Estimate(torch.zeros_like(x), torch.zeros_like(x))

    x = last(ddim(silent, one(), times, schedule, draw=torch.ones_like, eta=1.0))
    assert x.item() ** 2 == pytest.approx(expected, abs=1e-5)


def test_the_published_ddim_vector_of_diffusers() -> None:
    """Σ|x| = 172.0067 after 10 leading steps with clipping (see shared oracle)."""
    schedule = linear_betas(1000)
    x = (torch.arange(768, dtype=torch.float64).reshape(3, 8, 8, 4) / 768).permute(3, 0, 1, 2)

    def denoise(x: Tensor, t: Tensor) -> Estimate:
        step = round(t[0].item() * 1000) - 1
        noise = x * step / (step + 1)
        alpha, sigma = (f(t.double()).view(-1, 1, 1, 1) for f in (schedule.signal, schedule.noise))
        # diffusers clips the image and keeps the unclipped noise.
        return Estimate(((x - sigma * noise) / alpha).clamp(-1, 1), noise)

    times = [(k * 100 + 1) / 1000 for k in reversed(range(10))]
    x = last(ddim(denoise, x, times, schedule))
    # diffusers ends at alpha-bar of step 0 when set_alpha_to_one is off, and at 1 otherwise.
    final = last(ddim(denoise, x, [times[-1], 0.0], schedule))
    assert final.abs().sum().item() == pytest.approx(172.0067, abs=1e-2)


@pytest.mark.parametrize("sampler", [ddim, ddpm, dpm_solver_2m, euler, unipc])
@pytest.mark.parametrize("steps", [1, 3, 7, 15, 333])
def test_the_next_time_is_the_next_of_the_list(sampler, steps: int) -> None:
    times = uniform_times(steps, start=0.995)
    asked: list[float] = []

    def denoise(x: Tensor, t: Tensor) -> Estimate:
        asked.append(t[0].item())
        return Estimate(torch.zeros_like(x), x)

    reached = [state.time for state in sampler(denoise, one(), times, Flow())]
    assert asked == pytest.approx(times[:-1])
    assert reached == times[1:]


def test_rising_times_are_refused() -> None:
    with pytest.raises(ValueError, match="falling"):
        next(ddim(gaussian(Flow(), 1.0), one(), [0.1, 0.5], Flow()))


def test_stopping_halfway_changes_nothing() -> None:
    """N + N DDIM steps with a stop between equal 2N steps, bit for bit."""
    schedule, times = Flow(), uniform_times(10)
    denoise = gaussian(schedule, 0.5)
    whole = last(ddim(denoise, one(), times, schedule))
    half = last(ddim(denoise, one(), times[:6], schedule))
    assert torch.equal(last(ddim(denoise, half, times[5:], schedule)), whole)
