"""Class maps, the tokens of a set, and vectors of length 1."""

import torch
import torch.nn.functional as F

from marmor.base.conditions import ClassLabel, ObjectSet
from marmor.networks.layers import ClassMaps, ObjectTokens, normalised


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


def test_tokens_of_a_set_are_those_of_its_objects_and_no_more_than_the_fullest_row_says() -> None:
    kind = ObjectSet(5)
    some = torch.zeros(2, 5, dtype=torch.bool)
    some[0, [1, 4]] = True
    some[1, 2] = True
    values = torch.cat([kind.encode(some), kind.none(1)])
    objects = ObjectTokens(5, 3)
    tokens, said = objects(values)
    assert said.tolist() == [[True, True], [True, False], [True, False]]
    expected = [objects.weight[[1, 4]], objects.weight[[2]], objects.weight[[5]]]
    for row, mine, seen in zip(tokens, expected, said, strict=True):
        assert sorted(row[seen].tolist()) == sorted(mine.tolist())
    empty = objects(kind.encode(torch.zeros(2, 5, dtype=torch.bool)))
    assert empty.tokens.shape == (2, 0, 3)


def test_normalised_vectors_and_their_gradient_are_those_of_torch() -> None:
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(normalised(x), F.normalize(x, dim=-1))
    assert torch.autograd.gradcheck(normalised, x)
    assert torch.equal(normalised(torch.zeros(2, 4)), torch.zeros(2, 4))
