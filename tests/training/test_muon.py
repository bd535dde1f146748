"""Muon: torch's own, matrix by matrix, is the oracle."""

import copy

import pytest
import torch
from torch import nn

from marmor.training import muon
from marmor.training.muon import Muon, orthogonalise

SHAPES = ((12, 30), (12, 30), (30, 12), (16, 16), (12, 30))


def matrices() -> list[nn.Parameter]:
    stream = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=stream)) for shape in SHAPES]


def test_steps_are_those_of_torch() -> None:
    ours, theirs = matrices(), matrices()
    optimizers = Muon(ours, lr=0.1), torch.optim.Muon(theirs, lr=0.1, weight_decay=0.0)
    stream = torch.Generator().manual_seed(1)
    for _ in range(4):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape, generator=stream)
            b.grad = a.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for a, b, start in zip(ours, theirs, matrices(), strict=True):
        moved = (b - start).norm()
        assert (a - b).norm() < 0.02 * moved


def test_kernels_move_as_the_matrices_they_are() -> None:
    stream = torch.Generator().manual_seed(4)
    kernels = torch.randn(8, 5, 3, 3, generator=stream).to(memory_format=torch.channels_last)
    kernel, matrix = nn.Parameter(kernels.clone()), nn.Parameter(kernels.reshape(8, 45).clone())
    for _ in range(2):
        kernel.grad = torch.randn(8, 5, 3, 3, generator=stream)
        matrix.grad = kernel.grad.reshape(8, 45)
        for parameter in (kernel, matrix):
            Muon([parameter], lr=0.1).step()
    assert torch.equal(kernel.detach().reshape(8, 45), matrix.detach())
    assert not torch.equal(kernel.detach(), kernels)


@pytest.mark.parametrize("shape", [(3, 8, 20), (2, 20, 8), (1, 8, 8)])
def test_singular_values_end_near_one_and_vectors_stay(shape: tuple[int, int, int]) -> None:
    given = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    found = orthogonalise(given, 5).float()
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.6
    assert values.max() < 1.3
    left, _, right = torch.linalg.svd(given, full_matrices=False)
    aligned = left.mT @ found @ right.mT
    off_diagonal = aligned - torch.diag_embed(aligned.diagonal(dim1=1, dim2=2))
    assert off_diagonal.abs().max() < 0.05


@pytest.mark.parametrize(("told", "kind"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_the_format_is_the_one_that_the_hardware_multiplies_faster(
    told: str, kind: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = torch.randn(2, 6, 9, generator=torch.Generator().manual_seed(5))
    usual = orthogonalise(given, 5)
    monkeypatch.setattr(muon, "faster", lambda device: told)
    found = orthogonalise(given, 5)
    assert found.dtype == kind
    torch.testing.assert_close(found.float(), usual.float(), atol=0.05, rtol=0)


def test_matrices_without_gradient_stay_and_other_shapes_are_refused() -> None:
    moving, resting = matrices()[:2]
    moving.grad = torch.ones_like(moving)
    before = moving.detach().clone(), resting.detach().clone()
    Muon([moving, resting], lr=0.1).step()
    assert not torch.equal(moving, before[0])
    assert torch.equal(resting, before[1])
    with pytest.raises(ValueError, match=r"matrices, not shape \(3,\)"):
        Muon([nn.Parameter(torch.zeros(3))])


def test_a_loaded_state_goes_on_with_the_same_step() -> None:
    stream = torch.Generator().manual_seed(3)
    gradients = [[torch.randn(shape, generator=stream) for shape in SHAPES] for _ in range(2)]
    going, resumed = matrices(), matrices()
    first, second = Muon(going), Muon(resumed)

    def step(optimizer: Muon, parameters: list[nn.Parameter], number: int) -> None:
        for parameter, gradient in zip(parameters, gradients[number], strict=True):
            parameter.grad = gradient.clone()
        optimizer.step()

    step(first, going, 0)
    for mine, theirs in zip(resumed, going, strict=True):
        mine.data.copy_(theirs)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    step(first, going, 1)
    step(second, resumed, 1)
    assert all(torch.equal(a, b) for a, b in zip(going, resumed, strict=True))
