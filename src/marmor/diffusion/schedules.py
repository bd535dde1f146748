"""Noise schedules: how much signal and how much noise an image holds at time t.

Everywhere in marmor x_t = alpha(t)·x_0 + sigma(t)·noise, with t in [0, 1]: 0 is the clean image, 1 is
noise. A schedule of T discrete steps has its step k at t = k/T.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Schedule(ABC):
    """Signal and noise levels as functions of time."""

    @abstractmethod
    def signal(self, t: Tensor) -> Tensor:
        """alpha(t), the same shape and dtype as ``t``."""

    @abstractmethod
    def noise(self, t: Tensor) -> Tensor:
        """sigma(t), the same shape and dtype as ``t``."""

    def snr(self, t: Tensor) -> Tensor:
        """Signal-to-noise ratio alpha²/sigma²; infinite at t = 0."""
        return (self.signal(t) / self.noise(t)) ** 2


class Flow(Schedule):
    """The straight path alpha = 1 − t, sigma = t (Lipman et al. 2023; Liu et al. 2023)."""

    def signal(self, t: Tensor) -> Tensor:
        return 1 - t

    def noise(self, t: Tensor) -> Tensor:
        return t


class Cosine(Schedule):
    """The variance-preserving circle alpha = cos(πt/2), sigma = sin(πt/2).

    Nichol & Dhariwal 2021, eq. 17, without the offset, as in Salimans & Ho 2022.
    """

    def signal(self, t: Tensor) -> Tensor:
        # cos(π/2) is 6e-17 in floating point; at t = 1 there is no signal at all.
        return torch.where(t >= 1, torch.zeros_like(t), torch.cos(t * (math.pi / 2)))

    def noise(self, t: Tensor) -> Tensor:
        return torch.sin(t * (math.pi / 2))


class Discrete(Schedule):
    """A table of T steps; between two steps log(alpha²) is interpolated linearly.

    ``signal_power`` holds alpha² (the papers' alpha-bar) at steps 1 … T, falling, in (0, 1).
    """

    def __init__(self, signal_power: Tensor) -> None:
        clean = torch.zeros(1, dtype=torch.float64)
        self.log_power = torch.cat([clean, signal_power.double().log()])
        self.steps = len(signal_power)

    def signal(self, t: Tensor) -> Tensor:
        return torch.exp(0.5 * self._log_power_at(t)).to(t.dtype)

    def noise(self, t: Tensor) -> Tensor:
        return torch.sqrt(-torch.expm1(self._log_power_at(t))).to(t.dtype)

    def _log_power_at(self, t: Tensor) -> Tensor:
        # On the CPU in float64, whatever the device: not every device has float64.
        position = t.detach().cpu().double().clamp(0, 1) * self.steps
        lower = position.floor().long().clamp(max=self.steps - 1)
        values = torch.lerp(
            self.log_power[lower], self.log_power[lower + 1], position - lower.double()
        )
        return values.to(t.device) if t.device.type == "cpu" else values.float().to(t.device)


def linear_betas(steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> Discrete:
    """The linear schedule of DDPM (Ho et al. 2020, section 4): beta_1 = first … beta_T = last."""
    betas = torch.linspace(first, last, steps, dtype=torch.float64)
    return Discrete(torch.cumprod(1 - betas, 0))


def script_betas(steps: int = 400, first: float = 1e-4, last: float = 0.02) -> Discrete:
    """The linear schedule of the public conditional-MNIST script.

    It draws T + 1 betas for the steps 0 … T, multiplies all of them up and uses the steps 1 … T.
    """
    betas = torch.linspace(first, last, steps + 1, dtype=torch.float64)
    return Discrete(torch.cumprod(1 - betas, 0)[1:])
