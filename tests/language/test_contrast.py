"""The contrastive loss against plain loops."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from marmor.base.seeds import torch_stream
from marmor.language import contrastive_loss


def plainly(images: Tensor, texts: Tensor, scale: float, alike: Tensor) -> float:
    """Each picture chooses among sentences, each sentence among pictures; what is alike is no choice."""
    count, total = len(images), 0.0
    for one, other, true in ((images, texts, alike), (texts, images, alike.T)):
        for i in range(count):
            sums = 0.0
            for j in range(len(other)):
                if i == j or not true[i, j]:
                    sums += math.exp(scale * sum((one[i] * other[j]).tolist()))
            total += math.log(sums) - scale * sum((one[i] * other[i]).tolist())
    return total / (2 * count)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_the_loss_is_that_of_plain_loops(share: float) -> None:
    alike = torch.rand(5, 5, generator=torch_stream(0, "alike")) < share
    assert share == 0 or not torch.equal(alike, alike.T)
    images, texts = F.normalize(torch.randn(2, 5, 7, generator=torch_stream(0, "pairs")), dim=2)
    loss = contrastive_loss(images, texts, torch.tensor(9.0), alike)
    assert loss.item() == pytest.approx(plainly(images, texts, 9.0, alike), abs=1e-5)


def test_pictures_alone_choose_among_sentences_that_none_shows() -> None:
    alike = torch.rand(4, 7, generator=torch_stream(1, "alike")) < 0.3
    images = F.normalize(torch.randn(4, 6, generator=torch_stream(4, "pictures")), dim=1)
    texts = F.normalize(torch.randn(7, 6, generator=torch_stream(4, "sentences")), dim=1)
    assert alike[:, 4:].any()
    loss = contrastive_loss(images, texts, torch.tensor(9.0), alike)
    assert loss.item() == pytest.approx(plainly(images, texts, 9.0, alike), abs=1e-5)
    fewer = contrastive_loss(images, texts[:4], torch.tensor(9.0), alike[:, :4])
    assert fewer < loss


def test_pairs_that_are_all_alike_cost_nothing_and_pull_nowhere() -> None:
    images, texts = torch.randn(2, 4, 3, generator=torch_stream(1, "pairs"), requires_grad=True)
    images.retain_grad()
    loss = contrastive_loss(images, texts, torch.tensor(5.0), torch.ones(4, 4).bool())
    loss.backward()
    assert loss.item() == 0
    assert images.grad is not None
    assert not images.grad.any()


def test_the_order_of_rows_does_not_matter() -> None:
    images, texts = F.normalize(torch.randn(2, 6, 4, generator=torch_stream(2, "pairs")), dim=2)
    alike, order = torch.eye(6).bool(), torch.tensor([3, 1, 5, 0, 2, 4])
    alike[0, 5] = alike[2, 1] = True
    scale = torch.tensor(3.0)
    plain = contrastive_loss(images, texts, scale, alike)
    mixed = contrastive_loss(images[order], texts[order], scale, alike[order][:, order])
    torch.testing.assert_close(mixed, plain)


def test_half_precision_around_it_changes_nothing() -> None:
    images, texts = F.normalize(torch.randn(2, 6, 4, generator=torch_stream(3, "pairs")), dim=2)
    asked = images, texts, torch.tensor(50.0), torch.eye(6).bool()
    plain = contrastive_loss(*asked)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(contrastive_loss(*asked), plain)
