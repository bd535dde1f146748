"""Guidance: conventions, number of calls, independence of batch mates, interval, clipping."""

import pytest
import torch

from marmor.base.conditions import ClassLabel
from marmor.diffusion import Estimate, Flow, Guidance, clip, guide, threshold

KINDS = {"class": ClassLabel(3)}


class Counting:
    """A denoiser whose image is the label's value; counts calls and images."""

    def __init__(self) -> None:
        self.calls = 0
        self.images = 0

    def __call__(self, x, t, conditions) -> Estimate:
        self.calls += 1
        self.images += len(x)
        image = torch.ones_like(x) * conditions["class"].view(-1, 1, 1, 1) + x
        return Estimate(image, -image)


def batch(count: int = 4):
    x = torch.randn(count, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    return x, torch.full((count,), 0.5), {"class": torch.arange(count) % 3}


def test_scale_1_is_the_conditional_output_in_one_call() -> None:
    model = Counting()
    x, t, conditions = batch()
    guided = guide(model, KINDS, Guidance(1.0), Flow())(x, t, conditions)
    assert (model.calls, model.images) == (1, 4)
    assert torch.equal(guided.image, Counting()(x, t, conditions).image)


def test_both_halves_go_through_in_one_call_and_extrapolate() -> None:
    model = Counting()
    x, t, conditions = batch()
    guided = guide(model, KINDS, Guidance(3.0), Flow())(x, t, conditions)
    assert (model.calls, model.images) == (1, 8)
    conditional, unsaid = conditions["class"].view(-1, 1, 1, 1) + x, 3 + x
    assert torch.allclose(guided.image, unsaid + 3 * (conditional - unsaid))
    assert torch.allclose(guided.noise, -guided.image)


def test_the_papers_weight_is_the_scale_less_one() -> None:
    assert Guidance.from_weight(2.0) == Guidance(3.0)
    c, u, w = 5.0, 2.0, 0.7
    assert u + Guidance.from_weight(w).scale * (c - u) == pytest.approx((1 + w) * c - w * u)


def test_an_image_does_not_depend_on_its_batch_mates() -> None:
    x, t, conditions = batch()
    guided = guide(Counting(), KINDS, Guidance(2.5), Flow())
    whole = guided(x, t, conditions).image
    alone = guided(x[1:2], t[1:2], {"class": conditions["class"][1:2]}).image
    assert torch.equal(whole[1:2], alone)


@pytest.mark.parametrize(("t", "images"), [(0.2, 4), (0.3, 8), (0.8, 8), (0.9, 4)])
def test_guidance_acts_inside_its_interval_only(t: float, images: int) -> None:
    model = Counting()
    x, _, conditions = batch()
    guide(model, KINDS, Guidance(2.0, low=0.3, high=0.85), Flow())(
        x, torch.full((4,), t), conditions
    )
    assert model.images == images


def test_clipping_keeps_image_and_noise_consistent() -> None:
    x, t, conditions = batch()
    estimate = clip(Counting(), Flow(), 1.0)(x, t, conditions)
    assert estimate.image.abs().max() <= 1
    assert torch.allclose(0.5 * estimate.image + 0.5 * estimate.noise, x, atol=1e-6)


def noisy(x, t, conditions) -> Estimate:
    """An estimate whose spread depends on the label, 3 (none) having the least."""
    image = x * (4.0 - conditions["class"].view(-1, 1, 1, 1))
    return Estimate(image, 2 * x - image)


@pytest.mark.parametrize("rescale", [0.0, 0.4, 1.0])
def test_rescaled_guidance_has_the_spread_of_the_conditional_half(rescale: float) -> None:
    x, t, conditions = batch()
    estimate = guide(noisy, KINDS, Guidance(3.0, rescale=rescale), Flow())(x, t, conditions)
    plain = guide(noisy, KINDS, Guidance(3.0), Flow())(x, t, conditions).image.std((1, 2, 3))
    wanted = rescale * noisy(x, t, conditions).image.std((1, 2, 3)) + (1 - rescale) * plain
    assert torch.allclose(estimate.image.std((1, 2, 3)), wanted)
    assert torch.allclose(0.5 * estimate.image + 0.5 * estimate.noise, x, atol=1e-6)


def test_thresholding_divides_by_the_quantile_of_an_image_that_is_too_bright() -> None:
    image = torch.stack([torch.linspace(-0.5, 0.5, 201), torch.linspace(-4, 4, 201)])[:, None, None]

    def denoise(x, t, conditions) -> Estimate:
        return Estimate(image, image)

    x, t = torch.zeros_like(image), torch.full((2,), 0.5)
    found = threshold(denoise, Flow(), quantile=0.5)(x, t, {}).image
    assert torch.equal(found[0], image[0])
    assert torch.allclose(found[1], image[1].clamp(-2, 2) / 2, atol=0.02)
