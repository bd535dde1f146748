"""Guidance: conventions, number of calls, independence of batch mates, interval, clipping."""

import pytest
import torch

from marmor.base.conditions import ClassLabel
from marmor.diffusion import (
    Estimate,
    Flow,
    Guidance,
    clip,
    dpm_solver_2m,
    guide,
    threshold,
    uniform_times,
)
from marmor.diffusion.exact import exact_denoiser

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


TWO = {"class": ClassLabel(3), "domain": ClassLabel(2)}


class TwoConditions(Counting):
    """Its image is a function of both labels that is no sum of two."""

    def __call__(self, x, t, conditions) -> Estimate:
        self.calls += 1
        self.images += len(x)
        digit, domain = (conditions[name].view(-1, 1, 1, 1) for name in ("class", "domain"))
        image = x + digit + 10 * domain + digit * domain
        return Estimate(image, -image)


def test_conditions_are_weighed_apart_one_after_the_other() -> None:
    x, t, _ = batch()
    asked = {"class": torch.tensor([0, 1, 2, 0]), "domain": torch.tensor([1, 0, 1, 0])}
    model = TwoConditions()
    guided = guide(model, TWO, Guidance(2.0, apart={"domain": 3.0}), Flow())(x, t, asked)
    assert (model.calls, model.images) == (1, 12)

    def image(digit, domain):
        labels = {
            "class": torch.as_tensor(digit).expand(4),
            "domain": torch.as_tensor(domain).expand(4),
        }
        return TwoConditions()(x, t, labels).image

    turned = dict(reversed(asked.items()))
    again = guide(TwoConditions(), TWO, Guidance(2.0, apart={"domain": 3.0}), Flow())(x, t, turned)
    assert torch.equal(again.image, guided.image)
    none, digit, both = (
        image(3, 2),
        image(asked["class"], 2),
        image(asked["class"], asked["domain"]),
    )
    torch.testing.assert_close(guided.image, none + 2 * (digit - none) + 3 * (both - digit))
    torch.testing.assert_close(guided.noise, -guided.image)


def test_equal_scales_are_guidance_by_both_together_in_two_passes() -> None:
    x, t, _ = batch()
    asked = {"class": torch.tensor([0, 1, 2, 0]), "domain": torch.tensor([1, 0, 1, 0])}
    model = TwoConditions()
    apart = guide(model, TWO, Guidance(1.0, apart={"class": 2.5, "domain": 2.5}), Flow())
    together = guide(TwoConditions(), TWO, Guidance(2.5), Flow())
    assert torch.equal(apart(x, t, asked).image, together(x, t, asked).image)
    assert model.images == 8


@pytest.mark.parametrize(
    ("guidance", "images"),
    [
        (Guidance(3.0, apart={"class": 1.0, "domain": 1.0}), 4),
        (Guidance(1.0, apart={"domain": 3.0}), 8),
        (Guidance(1.0, apart={"class": 3.0}), 12),
    ],
)
def test_what_is_not_scaled_from_the_start_costs_no_pass(guidance: Guidance, images: int) -> None:
    x, t, _ = batch()
    asked = {"class": torch.tensor([0, 1, 2, 0]), "domain": torch.tensor([1, 0, 1, 0])}
    model = TwoConditions()
    found = guide(model, TWO, guidance, Flow())(x, t, asked).image
    assert model.images == images
    labels = [
        {"class": torch.full((4,), 3), "domain": torch.full((4,), 2)},
        {"class": asked["class"], "domain": torch.full((4,), 2)},
        asked,
    ]
    none, digit, both = (TwoConditions()(x, t, said).image for said in labels)
    one, other = (guidance.apart.get(name, guidance.scale) for name in ("class", "domain"))
    torch.testing.assert_close(found, none + one * (digit - none) + other * (both - digit))


def test_a_scale_of_an_unknown_condition_is_refused() -> None:
    with pytest.raises(ValueError, match="colour"):
        guide(TwoConditions(), TWO, Guidance(apart={"colour": 2.0}), Flow())


MEANS = torch.tensor([[-0.7], [0.1], [0.8]], dtype=torch.float64)[..., None, None]
STDS = torch.tensor([0.3, 0.2, 0.25], dtype=torch.float64)
WEIGHTS = torch.tensor([0.3, 0.5, 0.2], dtype=torch.float64)


def of_a_mixture(x, t, conditions) -> Estimate:
    """The perfect denoiser of each class of a mixture, and of the whole mixture for "none"."""
    schedule = Flow()
    parts = [
        exact_denoiser(schedule, MEANS[k : k + 1], STDS[k : k + 1], torch.ones(1)) for k in range(3)
    ]
    every = [part(x, t) for part in (*parts, exact_denoiser(schedule, MEANS, STDS, WEIGHTS))]
    label = conditions["class"]
    place = torch.arange(len(x))
    return Estimate(*(torch.stack(values)[label, place] for values in zip(*every, strict=True)))


def classes_at(x, t):
    """Bayes' log p(class | x_t) of a mixture along x_t = (1 − t)·image + t·noise."""
    mean = (1 - t) * MEANS.flatten()
    variance = ((1 - t) * STDS) ** 2 + t**2
    logs = -0.5 * ((x[:, None] - mean) ** 2 / variance + variance.log()) + WEIGHTS.log()
    return logs.log_softmax(1)


@pytest.mark.parametrize("scale", [0.5, 2.0, 4.0])
def test_guidance_climbs_the_classes_posterior(scale: float) -> None:
    """Of a mixture all is known: guided noise is the unguided minus sigma·scale·∇log p(class | x_t)."""
    time = 0.6
    x = torch.linspace(-1.5, 1.5, 13, dtype=torch.float64).requires_grad_()
    classes_at(x, time)[:, 2].sum().backward()
    images, t = x.detach()[:, None, None, None], torch.full((13,), time, dtype=torch.float64)
    asked = {"class": torch.full((13,), 2)}
    unsaid = of_a_mixture(images, t, {"class": torch.full((13,), 3)}).noise.flatten()
    guided = guide(of_a_mixture, KINDS, Guidance(scale), Flow())(images, t, asked).noise.flatten()
    assert x.grad is not None
    assert torch.allclose(guided, unsaid - time * scale * x.grad, atol=1e-9)


def test_guided_draws_show_the_class_more_often() -> None:
    """The posterior of drawn images: what is asked for, and more of it with a larger scale."""
    noise = torch.randn(500, 1, 1, 1, generator=torch.Generator().manual_seed(0)).double()
    asked = {"class": torch.full((500,), 1)}
    shares = []
    for scale in (1.0, 2.0, 4.0):
        guided = guide(of_a_mixture, KINDS, Guidance(scale), Flow())
        states = dpm_solver_2m(
            lambda x, t, guided=guided: guided(x, t, asked), noise, uniform_times(40, 0.99), Flow()
        )
        *_, last = states
        shares.append(classes_at(last.x.flatten(), 0.0).exp()[:, 1].mean().item())
    expected = torch.distributions.Normal(MEANS[1].item(), STDS[1].item())
    draws = expected.sample((20_000,)).double()
    alone = classes_at(draws, 0.0).exp()[:, 1].mean().item()
    assert shares[0] == pytest.approx(alone, abs=0.02)
    assert shares[0] < shares[1] < shares[2]
