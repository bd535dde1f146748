import math

import pytest
import torch

from marmor.adaptation import coral, mmd


@pytest.mark.parametrize("deviation", [0.5, 2.0])
def test_mmd_of_two_points(deviation):
    a, b = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    expected = 2 - 2 * math.exp(-25 / (2 * deviation**2))
    assert mmd(a, b, [deviation]).item() == pytest.approx(expected, rel=1e-6)


def test_mmd_is_zero_for_the_same_points_and_grows_with_a_shift():
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    assert mmd(x, x[torch.randperm(50)], [1.0, 2.0]).item() == pytest.approx(0, abs=1e-6)
    near, far = (mmd(x, x + shift, [1.0, 2.0]).item() for shift in (0.1, 1.0))
    assert 0 < near < far


def test_coral_of_scaled_features():
    x = torch.randn(40, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scale = 3.0
    expected = (scale**2 - 1) ** 2 * x.T.cov().square().sum() / (4 * 5**2)
    assert coral(x, scale * x + 7).item() == pytest.approx(expected.item())


def test_both_carry_gradients():
    x, y = torch.randn(6, 3, requires_grad=True), torch.randn(6, 3)
    (coral(x, y) + mmd(x, y, [1.0])).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert x.grad.abs().sum() > 0
