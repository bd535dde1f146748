import pytest
import torch

from marmor.metrics import gaussian


def test_mean_and_unbiased_covariance_in_float64():
    features = torch.tensor([[0.0, 2.0], [2.0, 0.0], [4.0, 4.0]])
    result = gaussian(features)
    assert result.count == 3
    assert result.mean.tolist() == [2.0, 2.0]
    assert result.covariance.tolist() == [[4.0, 2.0], [2.0, 4.0]]
    assert result.mean.dtype == result.covariance.dtype == torch.float64


def test_large_offsets_do_not_cancel():
    features = torch.tensor([[1e8 - 1], [1e8], [1e8 + 1]], dtype=torch.float64)
    assert gaussian(features).covariance.item() == pytest.approx(1.0)


def test_fewer_than_two_samples_are_refused():
    with pytest.raises(ValueError, match="at least 2"):
        gaussian(torch.zeros(1, 3))


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="shape"):
        gaussian(torch.zeros(4, 3, 2))
