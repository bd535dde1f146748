"""Schedules, spacings and samplers, step by step, against those of diffusers (extra `hub`)."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from marmor.diffusion import (
    Churn,
    Discrete,
    cosine_betas,
    ddim,
    ddim_inversion,
    ddpm,
    dpm_solver_2m,
    euler,
    exact_denoiser,
    heun,
    karras_times,
    leading_times,
    linear_betas,
    linspace_times,
    scaled_linear_betas,
    sigmoid_betas,
    step_times,
    trailing_times,
    unipc,
    zero_terminal_snr,
)

peers = pytest.importorskip("diffusers")
T = 1000


def denoiser(schedule: Discrete):
    """Two blobs: not linear, so that a wrong step shows."""
    means = torch.stack([torch.full((1, 2, 2), -0.8), torch.full((1, 2, 2), 0.4)])
    return exact_denoiser(schedule, means, torch.tensor([0.2, 0.3]), torch.tensor([0.4, 0.6]))


def start(count: int = 3) -> Tensor:
    stream = torch.Generator().manual_seed(0)
    return torch.randn(count, 1, 2, 2, generator=stream, dtype=torch.float64)


def noises():
    """The same draws for both: a generator of noise, begun anew."""
    stream = torch.Generator().manual_seed(5)
    return lambda x: torch.randn(x.shape, generator=stream, dtype=torch.float64)


TABLES = [
    (linear_betas(), {"beta_schedule": "linear"}),
    (
        scaled_linear_betas(),
        {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    ),
    (cosine_betas(), {"beta_schedule": "squaredcos_cap_v2"}),
    (sigmoid_betas(), {"beta_schedule": "sigmoid"}),
    (zero_terminal_snr(linear_betas()), {"rescale_betas_zero_snr": True}),
]


@pytest.mark.parametrize(("schedule", "config"), TABLES)
def test_tables_of_signal(schedule: Discrete, config) -> None:
    theirs = peers.DDPMScheduler(**config).alphas_cumprod.double()
    steps = torch.arange(1, T + 1, dtype=torch.float64) / T
    ours = schedule.signal(steps) ** 2
    assert torch.allclose(ours, theirs, rtol=2e-3, atol=2e-6)


@pytest.mark.parametrize("steps", [3, 7, 10, 50, 300, T])
def test_spacings(steps: int) -> None:
    spacings = {
        "leading": leading_times(steps, T),
        "trailing": trailing_times(steps, T),
        "linspace": linspace_times(steps, T),
    }
    for name, ours in spacings.items():
        peer = peers.DDIMScheduler(timestep_spacing=name)
        peer.set_timesteps(steps)
        assert step_times((peer.timesteps + 1).tolist(), T) == ours, name


def test_karras_ratios() -> None:
    peer = peers.EulerDiscreteScheduler(use_karras_sigmas=True, **BETAS)
    peer.set_timesteps(12)
    schedule, sigmas = linear_betas(), peer.sigmas.double()
    times = karras_times(12, schedule, low=sigmas[-2].item(), high=sigmas[0].item())
    ours = schedule.ratio(torch.tensor(times, dtype=torch.float64))
    assert torch.allclose(ours, sigmas, rtol=1e-3)


def their_states(peer, x: Tensor, steps: int, schedule: Discrete, exploding: bool, **options):
    """x after each step of a peer, in the scale of marmor's."""
    denoise = denoiser(schedule)
    peer.set_timesteps(steps)
    if exploding:
        first = torch.tensor((peer.timesteps[0].item() + 1) / T, dtype=torch.float64)
        x = x / schedule.signal(first)
    for step in peer.timesteps:
        t = torch.full((len(x),), (step.item() + 1) / T)
        alpha = schedule.signal(t.double())[:, None, None, None] if exploding else 1.0
        noise = denoise(x * alpha, t).noise
        x = peer.step(noise, step, x, **options).prev_sample.double()
        yield x


BETAS = {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}
COMMON = {"timestep_spacing": "trailing", **BETAS}
TWO_M = {**COMMON, "final_sigmas_type": "zero", "solver_order": 2}
PAIRS = {
    "ddim": (ddim, lambda: peers.DDIMScheduler(**COMMON, clip_sample=False), False),
    "dpm-solver++": (dpm_solver_2m, lambda: peers.DPMSolverMultistepScheduler(**TWO_M), False),
    "unipc": (unipc, lambda: peers.UniPCMultistepScheduler(**TWO_M), False),
    "unipc-3": (
        partial(unipc, order=3),
        lambda: peers.UniPCMultistepScheduler(**{**TWO_M, "solver_order": 3}),
        False,
    ),
    "euler": (euler, lambda: peers.EulerDiscreteScheduler(**COMMON), True),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("steps", [5, 20])
def test_every_step_of_a_deterministic_sampler(name: str, steps: int) -> None:
    sampler, peer, exploding = PAIRS[name]
    schedule = linear_betas()
    ours = list(sampler(denoiser(schedule), start(), trailing_times(steps, T), schedule))
    theirs = list(their_states(peer(), start(), steps, schedule, exploding))
    assert len(ours) == len(theirs) == steps
    # Of order 3 the peer lowers the order of the last step but one.
    alike = steps - 2 if name == "unipc-3" else steps
    for mine, x in list(zip(ours, theirs, strict=True))[:alike]:
        alpha = schedule.signal(torch.tensor(mine.time, dtype=torch.float64)) if exploding else 1
        assert torch.allclose(mine.x, x * alpha, atol=2e-4), mine.time


def test_heun_takes_the_same_steps() -> None:
    schedule, steps = linear_betas(), 8
    peer = peers.HeunDiscreteScheduler(**COMMON)
    theirs = list(their_states(peer, start(), steps, schedule, exploding=True))
    ours = list(heun(denoiser(schedule), start(), trailing_times(steps, T), schedule))
    # The peer yields each step's first half and its second, and of the last, which is Euler's, one.
    assert len(theirs) == 2 * steps - 1
    for mine, x in zip(ours, [*theirs[1::2], theirs[-1]], strict=True):
        alpha = schedule.signal(torch.tensor(mine.time, dtype=torch.float64))
        assert torch.allclose(mine.x, x * alpha, atol=2e-4), mine.time


def test_churn_stirs_as_much(monkeypatch) -> None:
    """The peer is shown x before its noise is added; here it is given the noise estimate of after."""
    schedule, steps, amount = linear_betas(), 12, 3.0
    from diffusers.schedulers import scheduling_euler_discrete as module

    low, high = 0.1, 20.0
    draws = [noises()(start()) for _ in range(steps)]
    peer = peers.EulerDiscreteScheduler(**COMMON)
    peer.set_timesteps(steps)
    monkeypatch.setattr(module, "randn_tensor", lambda *_, **__: draws[peer.step_index])
    churn = Churn(amount, low, high, inflation=1.003)
    queue = iter([draw for draw, s in zip(draws, peer.sigmas, strict=False) if low <= s <= high])
    times = trailing_times(steps, T)
    ours = euler(denoiser(schedule), start(), times, schedule, lambda _: next(queue), churn)
    x = start() / schedule.signal(torch.tensor(times[0], dtype=torch.float64))
    for mine, step, sigma in zip(ours, peer.timesteps, peer.sigmas.double(), strict=False):
        stirred = sigma * (1 + churn.growth(sigma.item(), steps))
        added = (stirred**2 - sigma**2).sqrt() * churn.inflation
        t = schedule.time_at(stirred)
        seen = x + added * draws[peer.step_index or 0]
        noise = denoiser(schedule)(seen * schedule.signal(t), t.expand(len(x))).noise
        told = {"s_churn": amount, "s_tmin": low, "s_tmax": high, "s_noise": churn.inflation}
        x = peer.step(noise, step, x, **told).prev_sample.double()
        alpha = schedule.signal(torch.tensor(mine.time, dtype=torch.float64))
        assert torch.allclose(mine.x, x * alpha, atol=5e-4), mine.time
    assert next(queue, None) is None


def test_every_step_back_to_the_noise() -> None:
    schedule, steps = linear_betas(), 10
    peer = peers.DDIMInverseScheduler(**BETAS, clip_sample=False)
    peer.set_timesteps(steps)
    x, denoise = 0.3 * start(), denoiser(schedule)
    ours = ddim_inversion(denoise, x, leading_times(steps, T), schedule)
    for mine, step in zip(ours, peer.timesteps, strict=True):
        noise = denoise(x, torch.full((len(x),), (step.item() + 1) / T)).noise
        x = peer.step(noise, step, x).prev_sample
        assert torch.allclose(mine.x, x, atol=2e-4), mine.time


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_ddim_with_fresh_noise(eta: float) -> None:
    schedule, steps = linear_betas(), 20
    peer, draw = peers.DDIMScheduler(**COMMON, clip_sample=False), noises()
    peer.set_timesteps(steps)
    x, denoise = start(), denoiser(schedule)
    times = trailing_times(steps, T)
    ours = [s.x for s in ddim(denoise, start(), times, schedule, draw=noises(), eta=eta)]
    for i, step in enumerate(peer.timesteps):
        noise = denoise(x, torch.full((len(x),), (step.item() + 1) / T)).noise
        options = {"eta": eta, "variance_noise": draw(x)} if i < steps - 1 else {}
        x = peer.step(noise, step, x, **options).prev_sample
        assert torch.allclose(ours[i], x, atol=2e-4)


@pytest.mark.parametrize("variance", ["small", "large"])
def test_ddpm(variance, monkeypatch) -> None:
    schedule, steps = linear_betas(), 25
    from diffusers.schedulers import scheduling_ddpm

    draw = noises()
    monkeypatch.setattr(
        scheduling_ddpm, "randn_tensor", lambda shape, **_: draw(torch.empty(shape))
    )
    peer = peers.DDPMScheduler(**COMMON, variance_type=f"fixed_{variance}", clip_sample=False)
    theirs = list(their_states(peer, start(), steps, schedule, exploding=False))
    times = trailing_times(steps, T)
    ours = ddpm(denoiser(schedule), start(), times, schedule, draw=noises(), variance=variance)
    # The peer adds noise after its last step too, unless that is step 0.
    for mine, x in list(zip(ours, theirs, strict=True))[:-1]:
        assert torch.allclose(mine.x, x, atol=2e-4)


def test_the_stochastic_form_of_dpm_solver(monkeypatch) -> None:
    schedule, steps = linear_betas(), 20
    from diffusers.schedulers import scheduling_dpmsolver_multistep as module

    draw = noises()
    monkeypatch.setattr(module, "randn_tensor", lambda shape, **_: draw(torch.empty(shape)))
    peer = peers.DPMSolverMultistepScheduler(**TWO_M, algorithm_type="sde-dpmsolver++")
    theirs = list(their_states(peer, start(), steps, schedule, exploding=False))
    times = trailing_times(steps, T)
    ours = dpm_solver_2m(denoiser(schedule), start(), times, schedule, draw=noises(), eta=1.0)
    for mine, x in zip(ours, theirs, strict=True):
        assert torch.allclose(mine.x, x, atol=5e-4)
    assert np.isfinite(theirs[-1]).all()
