"""Interpolation of noises: ends, norms, parallel inputs."""

import pytest
import torch

from marmor.diffusion import lerp, slerp


def noises() -> tuple[torch.Tensor, torch.Tensor]:
    stream = torch.Generator().manual_seed(0)
    return torch.randn(3, 64, 64, generator=stream), torch.randn(3, 64, 64, generator=stream)


@pytest.mark.parametrize("way", [lerp, slerp])
def test_ends_are_exact(way) -> None:
    first, second = noises()
    assert torch.equal(way(first, second, 0.0), first)
    assert torch.equal(way(first, second, 1.0), second)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.77])
def test_slerp_keeps_equal_norms(share: float) -> None:
    first, second = noises()
    second = second * (first.norm() / second.norm())
    assert slerp(first, second, share).norm().item() == pytest.approx(first.norm().item(), rel=1e-5)


def test_slerp_turns_evenly() -> None:
    first, second = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    at = slerp(first, second, 1 / 3)
    assert at.tolist() == pytest.approx([3**0.5 / 2, 0.5])


def test_half_way_the_straight_way_is_short() -> None:
    first, second = noises()
    share = lerp(first, second, 0.5).norm() / first.norm()
    assert share.item() == pytest.approx(0.7071, abs=0.02)


def test_parallel_and_opposite_noises_go_straight() -> None:
    first, _ = noises()
    assert torch.allclose(slerp(first, 2 * first, 0.5), 1.5 * first)
    assert slerp(first, -first, 0.5).abs().max() < 1e-6
