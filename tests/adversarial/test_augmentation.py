"""Augmentation of what the critic sees: by how much, how often, and with gradients."""

import torch
from torch import Tensor

from marmor.adversarial import DRAWS, augment


def _images(count: int = 200) -> Tensor:
    return 0.5 * torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(0)) - 0.25


def _draws(count: int = 200) -> Tensor:
    return torch.rand(count, DRAWS, generator=torch.Generator().manual_seed(1))


def test_strength_zero_changes_nothing() -> None:
    assert augment(_images(), _draws(), torch.zeros(200)).equal(_images())


def test_strength_is_how_often_each_change_is_made() -> None:
    images = _images()
    cut = augment(images, _draws(), torch.full((200,), 0.3)) == 0
    share = cut.all(1).flatten(1).any(1).float().mean()
    assert 0.2 < share < 0.4
    every = augment(images, _draws(), torch.ones(200))
    assert (every != images).flatten(1).any(1).all()


def test_an_image_is_moved_by_its_own_draws() -> None:
    images = torch.zeros(3, 1, 16, 16)
    images[:, 0, 8, 8] = 1
    draws = torch.full((3, DRAWS), 0.5)
    draws[:, :3] = torch.tensor([1.0, 0.0, 1.0])  # moved, and nothing else
    draws[:, 6:8] = torch.tensor([[0.0, 0.5], [0.5, 0.5], [0.5, 0.999]])
    moved = augment(images, draws, torch.full((3,), 0.5))
    assert [divmod(int(image.argmax()), 16) for image in moved] == [(10, 8), (8, 8), (8, 6)]
    assert (moved[0, 0, :2] == -1).all()  # what comes in is black


def test_gradients_pass_through_all_of_it() -> None:
    images = _images(8).requires_grad_()
    augment(images, _draws(8), torch.ones(8)).square().sum().backward()
    assert images.grad is not None
    assert (images.grad != 0).flatten(1).float().mean() > 0.3


def test_a_cut_is_a_square_of_half_the_side() -> None:
    images = torch.full((1, 3, 16, 16), 0.5)
    draws = torch.full((1, DRAWS), 0.5)
    draws[:, :3] = torch.tensor([1.0, 1.0, 0.0])
    cut = augment(images, draws, torch.full((1,), 0.5))
    assert (cut == 0).sum() == 3 * 8 * 8
