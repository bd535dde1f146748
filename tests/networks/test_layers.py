"""Class maps: the identity at first, then a scale and a shift for each place of each class."""

import torch

from marmor.base.conditions import ClassLabel
from marmor.networks.layers import ClassMaps


def test_class_maps_start_as_the_identity() -> None:
    x = torch.randn(3, 4, 5, 2)
    maps = ClassMaps({"class": ClassLabel(2), "domain": ClassLabel(3)}, (4, 5, 2))
    labels = {"class": torch.tensor([0, 1, 2]), "domain": torch.tensor([3, 0, 1])}
    assert torch.equal(maps(x, labels), x)


def test_class_maps_scale_and_shift_one_place_for_one_class_then_the_next_condition() -> None:
    maps = ClassMaps({"class": ClassLabel(2), "domain": ClassLabel(1)}, (2, 3))
    with torch.no_grad():
        maps.scales["class"].view(3, 2, 3)[1, 0, 2] = 0.5
        maps.shifts["class"].view(3, 2, 3)[1, 0, 2] = 7.0
        maps.scales["domain"].view(2, 2, 3)[1] = 1.0
    x = torch.ones(3, 2, 3)
    labels = {"class": torch.tensor([0, 1, 1]), "domain": torch.tensor([0, 0, 1])}
    expected = torch.ones(3, 2, 3)
    expected[1:, 0, 2] = 1.5 + 7.0
    expected[2] *= 2
    assert torch.equal(maps(x, labels), expected)
