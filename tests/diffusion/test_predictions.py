"""Predictions: a perfect output gives back image and noise; min-SNR makes all losses one."""

import pytest
import torch
from torch import nn

from marmor.base.conditions import ClassLabel
from marmor.diffusion import (
    Cosine,
    Denoiser,
    Flow,
    FlowPrediction,
    ImagePrediction,
    MinSnr,
    NoisePrediction,
    PreconditionedPrediction,
    VelocityPrediction,
    linear_betas,
)
from marmor.diffusion.predictions import levels

CASES = [
    (NoisePrediction(), linear_betas(1000)),
    (ImagePrediction(), Cosine()),
    (VelocityPrediction(), Cosine()),
    (VelocityPrediction(), linear_betas(1000)),
    (FlowPrediction(), Flow()),
    (PreconditionedPrediction(), Flow()),
    (PreconditionedPrediction(0.3), Cosine()),
]


def draw(seed: int = 0):
    stream = torch.Generator().manual_seed(seed)
    image, noise = torch.randn(2, 5, 3, 4, 4, generator=stream)
    t = torch.tensor([0.05, 0.3, 0.5, 0.7, 0.95])
    return image, noise, t


@pytest.mark.parametrize(("prediction", "schedule"), CASES)
def test_a_perfect_output_gives_back_image_and_noise(prediction, schedule) -> None:
    image, noise, t = draw()
    at = levels(schedule, t)
    x = at.signal * image + at.noise * noise
    estimate = prediction.estimate(prediction.target(image, noise, at), x, at)
    assert torch.allclose(estimate.image, image, atol=1e-3)
    assert torch.allclose(estimate.noise, noise, atol=1e-3)


@pytest.mark.parametrize("data_std", [0.5, 0.25])
def test_preconditioning_gives_unit_variance_in_and_out(data_std: float) -> None:
    stream = torch.Generator().manual_seed(0)
    image, noise = torch.randn(2, 4, 3, 64, 64, generator=stream)
    prediction, at = PreconditionedPrediction(data_std), levels(Flow(), torch.linspace(0.1, 0.9, 4))
    x = at.signal * image * data_std + at.noise * noise
    shown = prediction.network_input(x, at)
    target = prediction.target(image * data_std, noise, at)
    for tensor in (shown, target):
        assert torch.allclose(tensor.std((1, 2, 3)), torch.ones(4), atol=0.05)


class Fixed(nn.Module):
    """A network whose image estimate is off by a fixed amount, whatever it predicts."""

    def __init__(self, prediction, schedule, image, noise, error) -> None:
        super().__init__()
        self.parts = (prediction, schedule, image, noise, error)

    def forward(self, x, t, conditions):
        prediction, schedule, image, noise, error = self.parts
        at = levels(schedule, t)
        wrong = image + error
        # The noise that goes with the wrong image at the same x_t.
        wrong_noise = noise - at.signal / at.noise * error
        return prediction.target(wrong, wrong_noise, at)


@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_min_snr_losses_are_equal_after_conversion(gamma: float) -> None:
    image, noise, t = draw()
    error = torch.full_like(image, 0.1)
    losses = []
    for prediction in (
        NoisePrediction(),
        ImagePrediction(),
        VelocityPrediction(),
        PreconditionedPrediction(),
    ):
        network = Fixed(prediction, Cosine(), image, noise, error)
        denoiser = Denoiser(network, Cosine(), prediction, {"class": ClassLabel(1)})
        weight = MinSnr(gamma).weight(denoiser, t)
        losses.append(weight * denoiser.squared_error(image, noise, t, {}))
    expected = Cosine().snr(t).clamp(max=gamma) * 0.01
    for loss in losses:
        assert torch.allclose(loss, expected, rtol=1e-3)


def test_min_snr_of_a_flow() -> None:
    image, noise, t = draw()
    network = Fixed(FlowPrediction(), Flow(), image, noise, torch.full_like(image, 0.1))
    denoiser = Denoiser(network, Flow(), FlowPrediction(), {})
    loss = MinSnr().weight(denoiser, t) * denoiser.squared_error(image, noise, t, {})
    assert torch.allclose(loss, Flow().snr(t).clamp(max=5.0) * 0.01, rtol=1e-3)


def test_min_snr_weights_are_the_published_ones() -> None:
    snr = torch.tensor([0.0, 0.5, 5.0, 100.0])
    assert NoisePrediction().min_snr_weight(snr, 5.0).tolist() == pytest.approx([1, 1, 1, 0.05])
    assert ImagePrediction().min_snr_weight(snr, 5.0).tolist() == [0, 0.5, 5, 5]
    expected = [0, 0.5 / 1.5, 5 / 6, 5 / 101]
    assert VelocityPrediction().min_snr_weight(snr, 5.0).tolist() == pytest.approx(expected)
