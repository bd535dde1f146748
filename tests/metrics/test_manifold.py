"""Precision, recall, density and coverage: against their definitions, and moved by what should move them."""

import pytest
import torch
from torch import Tensor

from marmor.metrics import manifold


def _normal(count: int, seed: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(count, 8, generator=torch.Generator().manual_seed(seed))


def _ball(x: Tensor, i: int, k: int) -> float:
    return sorted(float((x[i] - x[j]).norm()) for j in range(len(x)) if j != i)[k - 1]


def test_all_four_are_as_defined() -> None:
    generated, real = _normal(12, 0).double(), _normal(15, 1).double()
    found = manifold(generated, real)

    def inside(point: Tensor, x: Tensor, i: int, k: int) -> bool:
        return float((point - x[i]).norm()) <= _ball(x, i, k)

    n, m = range(len(generated)), range(len(real))
    assert found.precision == sum(any(inside(generated[g], real, r, 3) for r in m) for g in n) / 12
    assert found.recall == pytest.approx(
        sum(any(inside(real[r], generated, g, 3) for g in n) for r in m) / 15
    )
    balls = [[inside(generated[g], real, r, 5) for r in m] for g in n]
    assert found.density == pytest.approx(sum(map(sum, balls)) / (5 * 12))
    assert found.coverage == pytest.approx(
        sum(any(column) for column in zip(*balls, strict=True)) / 15
    )


def test_one_distribution_is_covered_both_ways() -> None:
    found = manifold(_normal(500, 0), _normal(500, 1))
    assert found.precision > 0.7
    assert found.recall > 0.7
    assert found.density == pytest.approx(1, abs=0.1)
    assert found.coverage > 0.9


def test_narrow_samples_lose_recall_and_coverage_alone() -> None:
    narrow = manifold(_normal(500, 0, 0.3), _normal(500, 1))
    assert narrow.precision > 0.95
    assert narrow.recall < 0.3
    assert narrow.coverage < 0.6


def test_samples_far_away_lose_everything() -> None:
    assert manifold(_normal(50, 0) + 100, _normal(50, 1)) == (0, 0, 0, 0)


def test_few_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="6 samples"):
        manifold(_normal(5, 0), _normal(10, 1))
    with pytest.raises(ValueError, match="one dimension"):
        manifold(_normal(10, 0), _normal(10, 1)[:, :3])
