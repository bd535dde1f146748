"""The kernel distance against its definition and a known expectation."""

import statistics

import pytest
import torch

from marmor.metrics import kernel, kernel_distance


def _by_definition(a: torch.Tensor, b: torch.Tensor) -> float:
    def k(x: torch.Tensor, y: torch.Tensor) -> float:
        return float((x @ y / len(x) + 1) ** 3)

    within = [
        statistics.fmean(k(x, y) for i, x in enumerate(s) for j, y in enumerate(s) if i != j)
        for s in (a, b)
    ]
    between = statistics.fmean(k(x, y) for x in a for y in b)
    return sum(within) - 2 * between


def test_it_is_the_mean_over_all_pairs() -> None:
    stream = torch.Generator().manual_seed(0)
    a, b = (
        torch.randn(7, 3, generator=stream).double(),
        torch.randn(9, 3, generator=stream).double(),
    )
    assert kernel_distance(a, b) == pytest.approx(_by_definition(a, b), abs=1e-12)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = torch.Generator().manual_seed(0)
    a, b = torch.randn(50, 4, generator=stream), torch.randn(31, 4, generator=stream)
    whole = kernel_distance(a, b)
    monkeypatch.setattr(kernel, "ROWS", 16)
    assert kernel_distance(a, b) == pytest.approx(whole, abs=1e-12)


def test_its_expectation_is_zero_for_one_distribution() -> None:
    stream = torch.Generator().manual_seed(1)
    found = [
        kernel_distance(torch.randn(20, 8, generator=stream), torch.randn(20, 8, generator=stream))
        for _ in range(400)
    ]
    assert abs(statistics.fmean(found)) < 3 * statistics.stdev(found) / 400**0.5
    assert min(found) < 0  # unbiased: negative as often as not


@pytest.mark.parametrize(("a", "b"), [((3, 2), (3, 3)), ((1, 2), (3, 2)), ((3,), (3, 2))])
def test_other_shapes_are_refused(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"one dimension|2 samples"):
        kernel_distance(torch.zeros(a), torch.zeros(b))
