"""Which times a training batch visits and what each visit weighs."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from marmor.diffusion.denoisers import Denoiser


class TimeSampling(ABC):
    """A distribution of training times over (0, 1]."""

    @abstractmethod
    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """``count`` times, float32."""


@dataclass(frozen=True)
class LogitNormal(TimeSampling):
    """t = sigmoid(mean + std·n), n normal (Esser et al. 2024, eq. 19)."""

    mean: float = 0.0
    std: float = 1.0

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.sigmoid(torch.randn(count, generator=generator) * self.std + self.mean)


@dataclass(frozen=True)
class UniformSteps(TimeSampling):
    """Every step 1 … T equally often (Ho et al. 2020, algorithm 1)."""

    steps: int

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.randint(1, self.steps + 1, (count,), generator=generator) / self.steps


@dataclass(frozen=True)
class MinSnr:
    """Weights the image error of each visit by min(SNR, gamma) (Hang et al. 2023, section 3.4)."""

    gamma: float = 5.0

    def weight(self, denoiser: Denoiser, t: Tensor) -> Tensor:
        """One weight for the squared output error of each image, of shape (B,)."""
        return denoiser.prediction.min_snr_weight(denoiser.schedule.snr(t), self.gamma)
