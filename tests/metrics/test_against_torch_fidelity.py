"""Figures of features against torch-fidelity's on the same features."""

import pytest
import torch
from torch import Tensor

from marmor.metrics import frechet_distances, kernel_distance, manifold

fidelity = pytest.importorskip("torch_fidelity")


def _features(count: int, seed: int, shift: float) -> Tensor:
    """Correlated and unevenly spread, as features of images are."""
    stream = torch.Generator().manual_seed(seed)
    mixing = torch.randn(48, 48, generator=torch.Generator().manual_seed(9)) / 7
    spread = torch.arange(1, 49) ** -0.5
    return (torch.randn(count, 48, generator=stream) * spread) @ mixing + shift


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    return _features(300, 0, 0.05), _features(300, 1, 0.0)


def test_the_frechet_distance(pair) -> None:
    from torch_fidelity.metric_fid import (
        fid_features_to_statistics,
        fid_statistics_to_metric,
    )

    statistics = [fid_features_to_statistics(features) for features in pair]
    found = fid_statistics_to_metric(*statistics, verbose=False)
    expected = found["frechet_inception_distance"]
    assert frechet_distances(*pair).plain == pytest.approx(expected, rel=1e-3)


def test_the_kernel_distance(pair) -> None:
    from torch_fidelity.metric_kid import kid_features_to_metric

    # One subset of everything is what marmor takes.
    found = kid_features_to_metric(
        *pair, kid_subsets=1, kid_subset_size=300, verbose=False, rng_seed=0
    )
    expected = found["kernel_inception_distance_mean"]
    assert kernel_distance(*pair) == pytest.approx(expected, rel=1e-3)


def test_precision_and_recall(pair) -> None:
    from torch_fidelity.metric_prc import prc_features_to_metric

    found = prc_features_to_metric(
        *(x.double() for x in pair), prc_neighborhood=3, prc_batch_size=1000, verbose=False
    )
    ours = manifold(*pair)
    assert ours.precision == pytest.approx(found["precision"], abs=1e-6)
    assert ours.recall == pytest.approx(found["recall"], abs=1e-6)
    assert 0.2 < ours.precision < 1
