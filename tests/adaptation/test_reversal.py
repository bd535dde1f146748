import pytest
import torch
from torch import nn

from marmor.adaptation import adversarial_weight, annealed_rate, reverse_gradient


@pytest.mark.parametrize("weight", [0.0, 0.1, 1.0, 10.0])
def test_forward_is_identity_and_gradients_turn_around(weight):
    x = torch.randn(4, 3, requires_grad=True)
    y = reverse_gradient(x, weight)
    assert torch.equal(y, x)
    g = torch.randn(4, 3)
    y.backward(g)
    assert x.grad is not None
    assert torch.allclose(x.grad, -weight * g)


def test_the_opponents_own_gradient_is_not_scaled():
    opponent, x = nn.Linear(3, 1), torch.randn(5, 3, requires_grad=True)
    gradients = []
    for weight in (0.1, 1.0):
        opponent.zero_grad()
        loss = opponent(reverse_gradient(x, weight)).square().mean()
        loss.backward()
        assert opponent.weight.grad is not None
        gradients.append(opponent.weight.grad.clone())
    assert torch.equal(*gradients)
    assert gradients[0].abs().sum() > 0


@pytest.mark.parametrize(
    ("p", "expected"), [(0, 0), (0.1, 0.46212), (0.25, 0.84828), (0.5, 0.98661), (1, 0.99991)]
)
def test_published_weights(p, expected):
    assert adversarial_weight(p) == pytest.approx(expected, abs=5e-6)


@pytest.mark.parametrize(("p", "expected"), [(0.1, 0.005946), (0.5, 0.002608), (1, 0.001656)])
def test_published_rates(p, expected):
    assert 0.01 * annealed_rate(p) == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize("adapted", [False, True])
def test_a_shifted_coordinate_loses_its_weight_by_reversal(adapted):
    """Source (x, 0), target (x, 1), y = 0.2 x: only the reversed gradient sees the second weight."""
    torch.manual_seed(0)
    weights, opponent = torch.tensor([0.5, 0.8], requires_grad=True), nn.Linear(1, 1)
    # Decay keeps the two from circling each other.
    groups = [{"params": [weights]}, {"params": opponent.parameters(), "weight_decay": 0.2}]
    optimizer = torch.optim.SGD(groups, lr=0.05)
    said = []
    for _ in range(3000):
        x, z = torch.randn(2, 64)
        source, target = (
            torch.stack([values, torch.full_like(values, domain)], 1) @ weights
            for values, domain in ((x, 0.0), (z, 1.0))
        )
        loss = (source - 0.2 * x).square().mean()
        if adapted:
            features = torch.cat([source, target])[:, None]
            answers = opponent(reverse_gradient(features, 0.5))
            said.append(answers.std().item())
            domains = torch.arange(2.0).repeat_interleave(64)[:, None]
            loss = loss + nn.functional.binary_cross_entropy_with_logits(answers, domains)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert weights[0].item() == pytest.approx(0.2, abs=0.05)
    if not adapted:
        assert weights[1].item() == pytest.approx(0.8)
        return
    assert abs(weights[1].item()) < 0.1
    assert max(said) > 0.05  # the opponent's answers vary
