"""Copies are told from images that merely look like others."""

import pytest
import torch

from marmor.metrics import closer_share


def test_one_distribution_of_distances_is_a_half() -> None:
    distances = torch.rand(300, generator=torch.Generator().manual_seed(0))
    assert closer_share(distances, distances) == 0.5


def test_copies_are_closer_than_everything() -> None:
    assert closer_share(torch.zeros(5), torch.tensor([1.0, 2.0])) == 1


def test_it_counts_pairs_and_half_of_ties() -> None:
    assert closer_share(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 2.0, 4.0])) == pytest.approx(
        (2.5 + 1) / 6
    )


def test_an_empty_side_is_refused() -> None:
    with pytest.raises(ValueError, match="both sides"):
        closer_share(torch.zeros(0), torch.ones(1))
