"""What a network's output means. Each prediction turns it into an image and a noise estimate.

All of them are linear in the output, so the mean squared error on the output is a weighted mean
squared error on the image; ``target`` says what the output should have been.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from marmor.diffusion.schedules import Schedule


class Estimate(NamedTuple):
    """What a denoiser believes of x_t: the clean image and the noise, both shaped like x_t."""

    image: Tensor
    noise: Tensor


class Levels(NamedTuple):
    """alpha and sigma of each image of a batch, of shape (batch, 1, 1, 1)."""

    signal: Tensor
    noise: Tensor


def levels(schedule: Schedule, t: Tensor) -> Levels:
    """``t`` of shape (batch,) → signal and noise levels that broadcast over images."""
    return Levels(schedule.signal(t)[:, None, None, None], schedule.noise(t)[:, None, None, None])


class Prediction(ABC):
    """The meaning of a network's output, and the scale of its input."""

    def network_input(self, x: Tensor, at: Levels) -> Tensor:
        """What the network is shown in place of x_t; x_t itself unless a prediction scales it."""
        del at
        return x

    @abstractmethod
    def target(self, image: Tensor, noise: Tensor, at: Levels) -> Tensor:
        """The output of a perfect network."""

    @abstractmethod
    def estimate(self, output: Tensor, x: Tensor, at: Levels) -> Estimate:
        """Image and noise from the output."""

    @abstractmethod
    def min_snr_weight(self, snr: Tensor, gamma: float) -> Tensor:
        """Weight of the squared output error that makes it min(SNR, gamma) · image error.

        Hang et al. 2023, section 3.4.
        """


class NoisePrediction(Prediction):
    """The output is the noise (Ho et al. 2020, eq. 14)."""

    def target(self, image: Tensor, noise: Tensor, at: Levels) -> Tensor:
        return noise

    def estimate(self, output: Tensor, x: Tensor, at: Levels) -> Estimate:
        return Estimate((x - at.noise * output) / at.signal, output)

    def min_snr_weight(self, snr: Tensor, gamma: float) -> Tensor:
        # min(SNR, gamma)/SNR, written so that it is finite (and 1) at SNR 0.
        return torch.where(snr > gamma, gamma / snr.clamp(min=gamma), torch.ones_like(snr))


class ImagePrediction(Prediction):
    """The output is the clean image."""

    def target(self, image: Tensor, noise: Tensor, at: Levels) -> Tensor:
        return image

    def estimate(self, output: Tensor, x: Tensor, at: Levels) -> Estimate:
        return Estimate(output, (x - at.signal * output) / at.noise)

    def min_snr_weight(self, snr: Tensor, gamma: float) -> Tensor:
        return snr.clamp(max=gamma)


class VelocityPrediction(Prediction):
    """The output is v = alpha·noise − sigma·image (Salimans & Ho 2022, appendix D).

    For variance-preserving schedules (alpha² + sigma² = 1).
    """

    def target(self, image: Tensor, noise: Tensor, at: Levels) -> Tensor:
        return at.signal * noise - at.noise * image

    def estimate(self, output: Tensor, x: Tensor, at: Levels) -> Estimate:
        return Estimate(at.signal * x - at.noise * output, at.noise * x + at.signal * output)

    def min_snr_weight(self, snr: Tensor, gamma: float) -> Tensor:
        return snr.clamp(max=gamma) / (snr + 1)


class FlowPrediction(Prediction):
    """The output is the flow's velocity noise − image (Lipman et al. 2023), alpha = 1 − sigma."""

    def target(self, image: Tensor, noise: Tensor, at: Levels) -> Tensor:
        return noise - image

    def estimate(self, output: Tensor, x: Tensor, at: Levels) -> Estimate:
        return Estimate(x - at.noise * output, x + at.signal * output)

    def min_snr_weight(self, snr: Tensor, gamma: float) -> Tensor:
        # The image error is sigma² times the output error, and sigma = 1/(1 + sqrt(SNR)).
        return snr.clamp(max=gamma) / (1 + snr.sqrt()) ** 2


class PreconditionedPrediction(Prediction):
    """Input, target and skip scaled to unit variance (Karras et al. 2022, table 1 and eq. 7).

    EDM writes it for x_0 + sigma·noise; here it is carried to any alpha, sigma: the output estimates
    (x_0 − c_skip·x_t)/c_out with the c_skip that leaves the least to estimate for images of standard
    deviation ``data_std``.
    """

    def __init__(self, data_std: float = 0.5) -> None:
        self.data_std = data_std

    def network_input(self, x: Tensor, at: Levels) -> Tensor:
        return x * self._variance(at).rsqrt()

    def target(self, image: Tensor, noise: Tensor, at: Levels) -> Tensor:
        x = at.signal * image + at.noise * noise
        skip, scale = self._skip_and_scale(at)
        return (image - skip * x) / scale

    def estimate(self, output: Tensor, x: Tensor, at: Levels) -> Estimate:
        skip, scale = self._skip_and_scale(at)
        image = skip * x + scale * output
        return Estimate(image, (x - at.signal * image) / at.noise)

    def min_snr_weight(self, snr: Tensor, gamma: float) -> Tensor:
        # scale² = data_std²·sigma²/variance = data_std²/(1 + SNR·data_std²)
        power = self.data_std**2
        return snr.clamp(max=gamma) * power / (1 + snr * power)

    def _variance(self, at: Levels) -> Tensor:
        return (at.signal * self.data_std) ** 2 + at.noise**2

    def _skip_and_scale(self, at: Levels) -> tuple[Tensor, Tensor]:
        variance = self._variance(at)
        skip = at.signal * self.data_std**2 / variance
        return skip, self.data_std * at.noise * variance.rsqrt()


def following(image: Tensor, x: Tensor, t: Tensor, schedule: Schedule) -> Estimate:
    """An image estimate with the noise that makes x_t of it."""
    return ImagePrediction().estimate(image, x, levels(schedule, t))
