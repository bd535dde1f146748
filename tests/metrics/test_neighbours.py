import pytest
import torch

from marmor.metrics import nearest, neighbours


@pytest.mark.parametrize("k", [1, 5, 37])
def test_agrees_with_cdist_across_blocks(monkeypatch, k):
    monkeypatch.setattr(neighbours, "QUERIES", 7)
    monkeypatch.setattr(neighbours, "ROWS", 10)
    stream = torch.Generator().manual_seed(0)
    queries, bank = torch.randn(20, 6, generator=stream), torch.randn(37, 6, generator=stream)
    found = nearest(queries, bank, k)
    distances, indices = torch.cdist(queries.double(), bank.double()).sort(1)
    torch.testing.assert_close(found.distances, distances[:, :k])
    assert torch.equal(found.indices, indices[:, :k])


def test_a_copy_has_distance_zero():
    images = 255 * torch.rand(30, 3072, generator=torch.Generator().manual_seed(0))
    found = nearest(images, images)
    assert torch.equal(found.indices[:, 0], torch.arange(30))
    assert torch.equal(found.distances, torch.zeros(30, 1, dtype=torch.float64))


@pytest.mark.parametrize("k", [0, 4])
def test_k_outside_the_bank_is_refused(k):
    with pytest.raises(ValueError, match="k must"):
        nearest(torch.zeros(1, 2), torch.zeros(3, 2), k)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="queries and bank"):
        nearest(torch.zeros(1, 2), torch.zeros(3, 4))
