"""Noise schedules: how much signal and how much noise an image holds at time t.

Everywhere in marmor x_t = alpha(t)·x_0 + sigma(t)·noise, with t in [0, 1]: 0 is the clean image, 1 is
noise. A schedule of T discrete steps has its step k at t = k/T.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from marmor.base.steps import steps_at


class Schedule(ABC):
    """Signal and noise levels as functions of time."""

    @abstractmethod
    def signal(self, t: Tensor) -> Tensor:
        """alpha(t), the same shape and dtype as ``t``."""

    @abstractmethod
    def noise(self, t: Tensor) -> Tensor:
        """sigma(t), the same shape and dtype as ``t``."""

    @abstractmethod
    def time_at(self, ratio: Tensor) -> Tensor:
        """The time at which sigma/alpha is ``ratio``; its last time for every larger one."""

    def ratio(self, t: Tensor) -> Tensor:
        """Noise-to-signal ratio sigma/alpha; 0 at t = 0."""
        return self.noise(t) / self.signal(t)

    def snr(self, t: Tensor) -> Tensor:
        """Signal-to-noise ratio alpha²/sigma²; infinite at t = 0."""
        return (self.signal(t) / self.noise(t)) ** 2


class Flow(Schedule):
    """The straight path alpha = 1 − t, sigma = t (Lipman et al. 2023; Liu et al. 2023)."""

    def signal(self, t: Tensor) -> Tensor:
        return 1 - t

    def noise(self, t: Tensor) -> Tensor:
        return t

    def time_at(self, ratio: Tensor) -> Tensor:
        return 1 / (1 + 1 / ratio)


class Cosine(Schedule):
    """The variance-preserving circle alpha = cos(πt/2), sigma = sin(πt/2).

    Nichol & Dhariwal 2021, eq. 17, without the offset, as in Salimans & Ho 2022.
    """

    def signal(self, t: Tensor) -> Tensor:
        # cos(π/2) is 6e-17 in floating point; at t = 1 there is no signal at all.
        return torch.where(t >= 1, torch.zeros_like(t), torch.cos(t * (math.pi / 2)))

    def noise(self, t: Tensor) -> Tensor:
        return torch.sin(t * (math.pi / 2))

    def time_at(self, ratio: Tensor) -> Tensor:
        return torch.atan(ratio) * (2 / math.pi)


class VarianceExploding(Schedule):
    """Noise on an image that is never scaled down: alpha = 1, sigma = largest · t^rho.

    Equal steps of t are then those of Karras et al. 2022, eq. 5, with sigma_min 0. Sampling starts from
    noise of standard deviation ``largest``.
    """

    def __init__(self, largest: float = 80.0, rho: float = 7.0) -> None:
        self.largest, self.rho = largest, rho

    def signal(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def noise(self, t: Tensor) -> Tensor:
        return self.largest * t**self.rho

    def time_at(self, ratio: Tensor) -> Tensor:
        return (ratio / self.largest).clamp(max=1) ** (1 / self.rho)


class Discrete(Schedule):
    """A table of T steps; between two steps log(alpha²) is interpolated linearly.

    ``signal_power`` holds alpha² (the papers' alpha-bar) at steps 1 … T, falling, in (0, 1); the last
    may be 0, no signal at all, and is so all along the last step.
    """

    def __init__(self, signal_power: Tensor) -> None:
        clean = torch.zeros(1, dtype=torch.float64)
        self.log_power = torch.cat([clean, signal_power.double().log()])
        self.steps = len(signal_power)

    def signal(self, t: Tensor) -> Tensor:
        return torch.exp(0.5 * self._log_power_at(t)).to(t.dtype)

    def noise(self, t: Tensor) -> Tensor:
        return torch.sqrt(-torch.expm1(self._log_power_at(t))).to(t.dtype)

    def time_at(self, ratio: Tensor) -> Tensor:
        wanted = torch.log1p(ratio.detach().cpu().double() ** 2)  # −log(alpha²)
        rising = -self.log_power
        upper = torch.searchsorted(rising, wanted).clamp(1, self.steps)
        below, above = rising[upper - 1], rising[upper]
        part = ((wanted - below) / (above - below)).nan_to_num(nan=1.0).clamp(0, 1)
        return ((upper - 1 + part) / self.steps).to(ratio)

    def _log_power_at(self, t: Tensor) -> Tensor:
        # On the CPU in float64, whatever the device: not every device has float64.
        position = steps_at(t.detach().cpu().double().clamp(0, 1), self.steps)
        lower = position.floor().long()
        part = position - lower.double()
        low = self.log_power[lower]
        high = self.log_power[(lower + 1).clamp(max=self.steps)]
        # Where `high` is log 0, there is nothing to interpolate at the step below it.
        values = torch.where(part > 0, low + part * (high - low), low)
        return values.to(t.device) if t.device.type == "cpu" else values.float().to(t.device)


def from_betas(betas: Tensor) -> Discrete:
    """A table from the noise variance beta that each step adds, of shape (T,), in (0, 1)."""
    return Discrete(torch.cumprod(1 - betas.double(), 0))


def linear_betas(steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> Discrete:
    """The linear schedule of DDPM (Ho et al. 2020, section 4): beta_1 = first … beta_T = last."""
    return from_betas(torch.linspace(first, last, steps, dtype=torch.float64))


def scaled_linear_betas(steps: int = 1000, first: float = 0.00085, last: float = 0.012) -> Discrete:
    """Betas whose square roots rise linearly, as latent diffusion has them (Rombach et al. 2022)."""
    roots = torch.linspace(first**0.5, last**0.5, steps, dtype=torch.float64)
    return from_betas(roots**2)


def cosine_betas(steps: int = 1000, offset: float = 0.008, largest: float = 0.999) -> Discrete:
    """The cosine schedule as published (Nichol & Dhariwal 2021, eq. 17), betas capped."""
    at = torch.arange(steps + 1, dtype=torch.float64) / steps
    power = torch.cos((at + offset) / (1 + offset) * (math.pi / 2)) ** 2
    return from_betas((1 - power[1:] / power[:-1]).clamp(max=largest))


def sigmoid_betas(steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> Discrete:
    """Betas along a sigmoid from −6 to 6 (Xu et al. 2022, GeoDiff)."""
    rise = torch.sigmoid(torch.linspace(-6, 6, steps, dtype=torch.float64))
    return from_betas(first + (last - first) * rise)


def script_betas(steps: int = 400, first: float = 1e-4, last: float = 0.02) -> Discrete:
    """The linear schedule of the public conditional-MNIST script.

    It draws T + 1 betas for the steps 0 … T, multiplies all of them up and uses the steps 1 … T.
    """
    betas = torch.linspace(first, last, steps + 1, dtype=torch.float64)
    return Discrete(torch.cumprod(1 - betas, 0)[1:])


def zero_terminal_snr(schedule: Discrete) -> Discrete:
    """The same table, shifted and scaled so that its last step has no signal (Lin et al. 2023, alg. 1).

    A network that predicts noise says nothing about the image there; use velocity.
    """
    signal = torch.exp(0.5 * schedule.log_power[1:])
    first, last = signal[0], signal[-1]
    return Discrete(((signal - last) * first / (first - last)) ** 2)
