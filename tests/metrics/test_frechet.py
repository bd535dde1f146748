import pytest
import scipy.linalg
import torch
from torch import Tensor

from marmor.metrics import (
    Gaussian,
    figures,
    frechet_distance,
    frechet_distances,
    frechet_floor,
    gaussian,
)


def normal(mean: Tensor, covariance: Tensor) -> Gaussian:
    return Gaussian(mean.double(), covariance.double(), 1000)


def spread_matrix(size: int) -> Tensor:
    factor = torch.randn(size, size, generator=torch.Generator().manual_seed(1)).double()
    return factor @ factor.T


def test_equal_covariances_leave_the_squared_mean_distance():
    covariance = spread_matrix(6)
    a = normal(torch.zeros(6), covariance)
    b = normal(torch.arange(6.0), covariance)
    assert frechet_distance(a, b) == pytest.approx(55.0, rel=1e-12)


def test_diagonal_covariances():
    a = normal(torch.zeros(3), torch.diag(torch.tensor([1.0, 4.0, 9.0])))
    b = normal(torch.ones(3), torch.diag(torch.tensor([4.0, 4.0, 0.0])))
    assert frechet_distance(a, b) == pytest.approx(3 + 1 + 0 + 9, rel=1e-12)


def test_a_congruence_of_covariances_that_do_not_commute():
    # B = T A T with T symmetric and positive: T is the optimal map, and the distance is
    # tr((T - 1) A (T - 1)) (Dowson & Landau 1982).
    covariance, transport = spread_matrix(5), torch.eye(5).double() + spread_matrix(5) / 10
    transport = transport + torch.diag(torch.arange(5.0)).double()
    a = normal(torch.zeros(5), covariance)
    b = normal(torch.zeros(5), transport @ covariance @ transport)
    moved = transport - torch.eye(5)
    expected = (moved @ covariance @ moved).trace().item()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)


def test_fewer_samples_than_dimensions_stay_exact_and_not_negative():
    few = gaussian(torch.randn(10, 64, generator=torch.Generator().manual_seed(0)))
    assert 0 <= frechet_distance(few, few) < 1e-11


@pytest.mark.parametrize(("count", "expected"), [(64, 8.97), (256, 2.42), (1024, 0.605)])
def test_bias_of_one_distribution(count, expected):
    stream = torch.Generator().manual_seed(0)
    distances = [
        frechet_distance(
            gaussian(torch.randn(count, 32, generator=stream)),
            gaussian(torch.randn(count, 32, generator=stream)),
        )
        for _ in range(10)
    ]
    # The published figures are single draws, which scatter by 7 %.
    assert sum(distances) / 10 == pytest.approx(expected, rel=0.1)


def test_agrees_with_the_matrix_square_root_of_scipy():
    a, b = (gaussian(x) for x in torch.randn(2, 40, 8, generator=torch.Generator().manual_seed(0)))
    root = scipy.linalg.sqrtm((a.covariance @ b.covariance).numpy()).real
    traces = (a.covariance + b.covariance).trace().item() - 2 * root.trace()
    expected = (a.mean - b.mean).square().sum().item() + traces
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_dimensions_must_agree():
    with pytest.raises(ValueError, match="dimension"):
        frechet_distance(normal(torch.zeros(2), torch.eye(2)), normal(torch.zeros(3), torch.eye(3)))


def test_floor_repeats_with_its_seed_and_falls_with_the_count():
    stream = torch.Generator().manual_seed(0)
    train, test = torch.randn(2, 600, 8, generator=stream)
    small = frechet_floor(train, test, count=40, draws=4, seed=0)
    assert small == frechet_floor(train, test, count=40, draws=4, seed=0)
    assert small != frechet_floor(train, test, count=40, draws=4, seed=1)
    assert frechet_floor(train, test, count=400, draws=4, seed=0) < small / 3


def test_floor_of_the_whole_training_set_is_the_distance():
    train, test = torch.randn(2, 50, 4, generator=torch.Generator().manual_seed(0))
    expected = frechet_distance(gaussian(train), gaussian(test))
    assert frechet_floor(train, test, 50, 2, seed=3) == pytest.approx(expected)


@pytest.mark.parametrize(("count", "draws"), [(1, 1), (11, 1), (5, 0)])
def test_impossible_floors_are_refused(count, draws):
    with pytest.raises(ValueError, match="must"):
        frechet_floor(torch.zeros(10, 2), torch.zeros(10, 2), count, draws, seed=0)


@pytest.mark.parametrize("counts", [(40, 90), (200, 150)])
def test_distances_of_features_are_those_of_their_gaussians(counts):
    stream = torch.Generator().manual_seed(0)
    a, b = (torch.randn(count, 64, generator=stream) + 0.1 * i for i, count in enumerate(counts))
    expected = frechet_distance(gaussian(a), gaussian(b))
    assert frechet_distances(a, b).plain == pytest.approx(expected, rel=1e-7)


def test_extrapolation_takes_the_bias_away():
    stream = torch.Generator().manual_seed(0)
    apart = 0.2
    found = [
        frechet_distances(
            torch.randn(256, 32, generator=stream), apart + torch.randn(256, 32, generator=stream)
        )
        for _ in range(20)
    ]
    truth = 32 * apart**2
    plain, extrapolated = (sum(each) / len(found) for each in zip(*found, strict=True))
    assert plain > truth + 2
    assert extrapolated == pytest.approx(truth, abs=0.25)


def test_two_samples_of_one_distribution_may_be_zero_apart():
    stream = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 300, 16, generator=stream)
    plain, extrapolated = figures(frechet_distances, a, b)
    assert plain.low > 0
    assert extrapolated.low < 0 < extrapolated.high


def test_extrapolation_holds_where_samples_are_fewer_than_features():
    """The bias of features whose variances decay, as a network's do, is then no straight line in 1/N."""
    stream = torch.Generator().manual_seed(0)
    spread = torch.arange(1, 401).pow(-0.5)
    found = [
        frechet_distances(*(torch.randn(2, 300, 400, generator=stream) * spread)) for _ in range(8)
    ]
    plain, extrapolated = (sum(each) / len(found) for each in zip(*found, strict=True))
    assert plain > 0.5
    assert abs(extrapolated) < 0.2 * plain  # 0.33 by a straight line


def test_what_has_no_quarters_is_refused():
    with pytest.raises(ValueError, match="8 samples"):
        frechet_distances(torch.zeros(7, 2), torch.zeros(9, 2))
    with pytest.raises(ValueError, match="one dimension"):
        frechet_distances(torch.zeros(9, 2), torch.zeros(9, 3))
