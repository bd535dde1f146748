"""The contrastive loss against plain loops."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from marmor.base.seeds import torch_stream
from marmor.language import contrastive_loss


def plainly(images: Tensor, texts: Tensor, scale: float, meanings: list[int]) -> float:
    """Each picture chooses among sentences, each sentence among pictures; equal meanings are no choice."""
    count, total = len(meanings), 0.0
    for one, other in ((images, texts), (texts, images)):
        for i in range(count):
            sums = 0.0
            for j in range(count):
                if i == j or meanings[i] != meanings[j]:
                    sums += math.exp(scale * sum((one[i] * other[j]).tolist()))
            total += math.log(sums) - scale * sum((one[i] * other[i]).tolist())
    return total / (2 * count)


@pytest.mark.parametrize("meanings", [[0, 1, 2, 3, 4], [0, 1, 0, 2, 1], [0, 0, 0, 0, 1]])
def test_the_loss_is_that_of_plain_loops(meanings: list[int]) -> None:
    images, texts = F.normalize(torch.randn(2, 5, 7, generator=torch_stream(0, "pairs")), dim=2)
    loss = contrastive_loss(images, texts, torch.tensor(9.0), torch.tensor(meanings))
    assert loss.item() == pytest.approx(plainly(images, texts, 9.0, meanings), abs=1e-5)


def test_pairs_of_one_meaning_alone_cost_nothing_and_pull_nowhere() -> None:
    images, texts = torch.randn(2, 4, 3, generator=torch_stream(1, "pairs"), requires_grad=True)
    images.retain_grad()
    loss = contrastive_loss(images, texts, torch.tensor(5.0), torch.zeros(4).long())
    loss.backward()
    assert loss.item() == 0
    assert images.grad is not None
    assert not images.grad.any()


def test_the_order_of_rows_does_not_matter() -> None:
    images, texts = F.normalize(torch.randn(2, 6, 4, generator=torch_stream(2, "pairs")), dim=2)
    meanings, order = torch.tensor([0, 1, 1, 2, 3, 0]), torch.tensor([3, 1, 5, 0, 2, 4])
    scale = torch.tensor(3.0)
    plain = contrastive_loss(images, texts, scale, meanings)
    mixed = contrastive_loss(images[order], texts[order], scale, meanings[order])
    torch.testing.assert_close(mixed, plain)


def test_half_precision_around_it_changes_nothing() -> None:
    images, texts = F.normalize(torch.randn(2, 6, 4, generator=torch_stream(3, "pairs")), dim=2)
    asked = images, texts, torch.tensor(50.0), torch.arange(6)
    plain = contrastive_loss(*asked)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(contrastive_loss(*asked), plain)
