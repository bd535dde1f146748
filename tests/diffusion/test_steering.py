"""Steering: held against Bayes' rule on Gaussian data, free at scale 0, blind to batch mates."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch
from torch import Tensor

from marmor.base.conditions import Conditions
from marmor.diffusion import (
    Cosine,
    Estimate,
    Flow,
    Schedule,
    VarianceExploding,
    exact_denoiser,
    linear_betas,
    steer,
)
from marmor.diffusion.predictions import levels

SCHEDULES = [Flow(), Cosine(), linear_betas(1000), VarianceExploding()]
MEAN, STD = 0.2, 0.5


def gaussian(schedule: Schedule, mean: Tensor) -> Callable[[Tensor, Tensor, Conditions], Estimate]:
    """The perfect denoiser of images (1, 2, 2) whose values are N(mean, STD²)."""
    exact = exact_denoiser(
        schedule, mean.expand(1, 1, 2, 2), torch.tensor([STD]).double(), torch.ones(1)
    )
    return lambda x, t, conditions: exact(x, t)


def batch(time: float) -> tuple[Tensor, Tensor]:
    stream = torch.Generator().manual_seed(0)
    x = torch.randn(5, 1, 2, 2, dtype=torch.float64, generator=stream)
    return x, torch.full((5,), time, dtype=torch.float64)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("time", [0.1, 0.4, 0.6])
def test_the_estimate_is_the_posterior_mean_given_an_observation(
    schedule: Schedule, time: float
) -> None:
    """y = image + N(0, error²): precisions of data, x_t and y add up, and weigh their means."""
    error, (x, t) = 0.3, batch(time)
    y = torch.linspace(-1, 1, 20, dtype=torch.float64).view(5, 1, 2, 2)
    at = levels(schedule, t)
    precisions = (1 / STD**2, (at.signal / at.noise) ** 2, 1 / error**2)
    wanted = (precisions[0] * MEAN + precisions[1] * x / at.signal + precisions[2] * y) / sum(
        precisions
    )
    still_open = 1 / (precisions[0] + precisions[1])  # variance of the image given x_t

    def log_likelihood(image: Tensor, conditions: Conditions) -> Tensor:
        variance = error**2 + still_open
        return (-0.5 * (conditions["observed"] - image) ** 2 / variance).sum((1, 2, 3))

    denoise = gaussian(schedule, torch.tensor(MEAN).double())
    found = steer(denoise, log_likelihood, 1.0, schedule)(x, t, {"observed": y})
    torch.testing.assert_close(found.image, wanted)
    torch.testing.assert_close(at.signal * found.image + at.noise * found.noise, x)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("time", [0.2, 0.7])
def test_a_scale_is_a_power_of_the_likelihood(scale: float, time: float) -> None:
    """exp(c·image) to the power of the scale moves the mean of Gaussian data by scale·c·STD²."""
    tilt = 0.8

    def log_likelihood(image: Tensor, conditions: Conditions) -> Tensor:
        return tilt * image.sum((1, 2, 3))

    mean, (x, t) = torch.tensor(MEAN).double(), batch(time)
    found = steer(gaussian(Flow(), mean), log_likelihood, scale, Flow())(x, t, {})
    wanted = gaussian(Flow(), mean + scale * tilt * STD**2)(x, t, {})
    torch.testing.assert_close(found.image, wanted.image)
    torch.testing.assert_close(found.noise, wanted.noise)


class Watched:
    """A denoiser and a likelihood that are no sums over the batch, and count gradients."""

    def __init__(self) -> None:
        self.gradients = 0

    def denoise(self, x: Tensor, t: Tensor, conditions: Conditions) -> Estimate:
        image = torch.tanh(x) * (1 + conditions["class"].view(-1, 1, 1, 1))
        return Estimate(image, 2 * x - image)

    def log_likelihood(self, image: Tensor, conditions: Conditions) -> Tensor:
        self.gradients += image.requires_grad
        return -(image - conditions["class"].view(-1, 1, 1, 1)).square().sum((1, 2, 3))


LABELS = {"class": torch.tensor([0, 1, 2, 1, 0])}


def test_scale_0_is_the_denoiser_itself_without_a_gradient() -> None:
    watched, (x, t) = Watched(), batch(0.5)
    plain = watched.denoise(x, t, LABELS)
    for scale, gradients in ((0.0, 0), (1.0, 1)):
        found = steer(watched.denoise, watched.log_likelihood, scale, Flow())(x, t, LABELS)
        assert torch.equal(found.image, plain.image) == (scale == 0)
        assert watched.gradients == gradients


def test_an_image_does_not_depend_on_its_batch_mates() -> None:
    watched, (x, t) = Watched(), batch(0.5)
    steered = steer(watched.denoise, watched.log_likelihood, 2.0, Flow())
    whole = steered(x, t, LABELS)
    for k in range(len(x)):
        alone = steered(x[k : k + 1], t[k : k + 1], {"class": LABELS["class"][k : k + 1]})
        assert torch.equal(alone.image[0], whole.image[k])
        assert torch.equal(alone.noise[0], whole.noise[k])


@pytest.mark.parametrize(
    ("time", "gradients"), [(0.2, 0), (0.3, 1), (0.8, 1), (0.9, 0), (0.96, 0), (1.0, 0)]
)
def test_steering_acts_inside_its_interval_and_where_there_is_signal(
    time: float, gradients: int
) -> None:
    watched, (x, t) = Watched(), batch(time)
    high = 0.85 if time < 0.95 else 1.0  # Flow has 24 times as much noise as signal at 0.96
    found = steer(watched.denoise, watched.log_likelihood, 1.0, Flow(), 0.3, high)(x, t, LABELS)
    assert watched.gradients == gradients
    assert torch.equal(found.image, watched.denoise(x, t, LABELS).image) == (gradients == 0)


def test_samplers_steer_in_inference_mode_and_in_threads() -> None:
    torch.manual_seed(0)
    network = torch.nn.Conv2d(1, 1, 3, padding=1).double()
    x, t = batch(0.5)

    def denoise(x: Tensor, t: Tensor, conditions: Conditions) -> Estimate:
        image = network(x).tanh() * conditions["class"].view(-1, 1, 1, 1)
        return Estimate(image, 2 * x - image)

    steered = steer(denoise, Watched().log_likelihood, 1.0, Flow())
    wanted = steered(x, t, LABELS).image

    @torch.inference_mode()
    def inferred(count: int) -> Tensor:
        labels = {"class": LABELS["class"].clone()}
        image = steered(x.clone(), t.clone(), labels).image
        assert not torch.is_grad_enabled()
        return image[:count]

    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(partial(inferred), [5, 3, 1]):
            assert torch.equal(found, wanted[: len(found)])
            assert not found.requires_grad
