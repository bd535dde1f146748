"""Guidance: conventions, number of calls, independence of batch mates, interval, clipping."""

import pytest
import torch

from marmor.base.conditions import ClassLabel
from marmor.diffusion import Estimate, Flow, Guidance, clip, guide

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
    guided = guide(model, KINDS, Guidance(1.0))(x, t, conditions)
    assert (model.calls, model.images) == (1, 4)
    assert torch.equal(guided.image, Counting()(x, t, conditions).image)


def test_both_halves_go_through_in_one_call_and_extrapolate() -> None:
    model = Counting()
    x, t, conditions = batch()
    guided = guide(model, KINDS, Guidance(3.0))(x, t, conditions)
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
    guided = guide(Counting(), KINDS, Guidance(2.5))
    whole = guided(x, t, conditions).image
    alone = guided(x[1:2], t[1:2], {"class": conditions["class"][1:2]}).image
    assert torch.equal(whole[1:2], alone)


@pytest.mark.parametrize(("t", "images"), [(0.2, 4), (0.3, 8), (0.8, 8), (0.9, 4)])
def test_guidance_acts_inside_its_interval_only(t: float, images: int) -> None:
    model = Counting()
    x, _, conditions = batch()
    guide(model, KINDS, Guidance(2.0, low=0.3, high=0.85))(x, torch.full((4,), t), conditions)
    assert model.images == images


def test_clipping_keeps_image_and_noise_consistent() -> None:
    x, t, conditions = batch()
    estimate = clip(Counting(), Flow(), 1.0)(x, t, conditions)
    assert estimate.image.abs().max() <= 1
    assert torch.allclose(0.5 * estimate.image + 0.5 * estimate.noise, x, atol=1e-6)
