"""Penalties on gradients, and which weights are clipped."""

import pytest
import torch
from torch import Tensor, nn

from marmor.adversarial import clip_weights, gradient_penalty, gradients
from marmor.networks.dcgan import DcganCritic


def _linear(weight: Tensor):
    return lambda images: images.flatten(1) @ weight


def test_the_gradient_of_a_linear_critic_is_its_weight() -> None:
    weight = torch.randn(12, generator=torch.Generator().manual_seed(0))
    scores, squared = gradients(_linear(weight), torch.ones(3, 3, 2, 2))
    assert torch.allclose(squared, weight.square().sum().expand(3))
    assert torch.allclose(scores, weight.sum().expand(3))


def test_a_critic_of_slope_one_pays_nothing() -> None:
    weight = nn.functional.normalize(torch.randn(12), dim=0)
    real, fake = torch.randn(2, 5, 3, 2, 2)
    assert gradient_penalty(_linear(weight), real, fake, torch.rand(5)).item() < 1e-10
    steep = gradient_penalty(_linear(3 * weight), real, fake, torch.rand(5))
    assert steep.item() == pytest.approx(4, rel=1e-5)


def test_it_is_taken_between_the_images() -> None:
    seen = []

    def critic(images: Tensor) -> Tensor:
        seen.append(images)
        return images.sum((1, 2, 3))

    real, fake = torch.zeros(2, 1, 2, 2), torch.ones(2, 1, 2, 2)
    gradient_penalty(critic, real, fake, torch.tensor([0.25, 1.0]))
    assert seen[0][:, 0, 0, 0].tolist() == [0.25, 1.0]


def test_penalties_move_the_critic() -> None:
    weight = nn.Parameter(torch.ones(12))
    _, squared = gradients(_linear(weight), torch.zeros(2, 3, 2, 2))
    squared.mean().backward()
    assert weight.grad is not None
    assert torch.allclose(weight.grad, torch.full((12,), 2.0))


def test_every_parameter_of_the_critic_is_clipped() -> None:
    critic = DcganCritic((3, 16, 16), classes=3, narrowest=4)
    clip_weights(critic, 0.01)
    assert {name.split(".")[0] for name, _ in critic.named_parameters()} == {
        "body",
        "score",
        "label",
    }
    for name, parameter in critic.named_parameters():
        assert parameter.abs().max().item() <= 0.01 + 1e-9, name
    scales = [m.weight for m in critic.modules() if isinstance(m, nn.BatchNorm2d)]
    assert scales
    assert all(scale.max().item() == pytest.approx(0.01) for scale in scales)
