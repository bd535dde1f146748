"""Where objects lie, and what of one concept shows in another, on cases that are known."""

import pytest
import torch
from torch import Tensor

from marmor.metrics import all_shown, leaks, located, photo_leak


def directions(*degrees: float) -> Tensor:
    angles = torch.tensor(degrees).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], -1)


def test_even_weights_on_a_rectangle_are_that_rectangle() -> None:
    weights = torch.full((8, 10), 0.25)
    weights[2:5, 3:9] = 0.75
    assert located(weights) == pytest.approx((0.3, 0.25, 0.9, 0.625))
    assert located(weights * 7 + 3) == pytest.approx((0.3, 0.25, 0.9, 0.625))


def test_what_lies_low_says_nothing_about_where() -> None:
    weights = torch.zeros(8, 8)
    weights[1:3, 1:3] = 1.0
    weights[7, 7] = 0.49
    assert located(weights) == pytest.approx((0.125, 0.125, 0.375, 0.375))
    weights[7, 7] = 0.51
    assert located(weights)[2] > 0.5


def test_a_map_without_a_peak_is_all_of_the_picture() -> None:
    assert located(torch.full((4, 4), 0.3)) == (0.0, 0.0, 1.0, 1.0)


def test_a_leak_is_the_other_cosine_less_the_own() -> None:
    photos = [directions(0, 20), directions(90)]
    crops = torch.stack([directions(0, 60, 90), directions(90, 90, 0)])
    found = leaks(crops, photos)
    own = (directions(0, 60, 90) @ directions(0, 20).T).mean(1).double()
    wanted = (directions(0, 60, 90) @ directions(90)[0]).double() - own
    torch.testing.assert_close(found.each[0], wanted, atol=1e-6, rtol=0)
    mean = directions(0, 20).mean(0).double()
    own = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    wanted = directions(90, 90, 0).double() @ mean - own
    torch.testing.assert_close(found.each[1], wanted, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.leak, found.each.mean(0))
    assert found.told_apart.tolist() == [True, False, False]


def test_of_several_others_the_nearest_counts() -> None:
    photos = [directions(0), directions(90), directions(30)]
    crops = torch.stack([directions(0), directions(90), directions(30)])
    each = leaks(crops, photos).each[:, 0]
    wanted = directions(30, 60, 30)[:, 0].double() - 1
    torch.testing.assert_close(each, wanted, atol=1e-6, rtol=0)


def test_photos_leak_without_being_held_against_themselves() -> None:
    first = [directions(0, 40), directions(90)]
    to_other = directions(90, 50)[:, 0].double().mean()
    own = directions(40)[0, 0].double()
    second = directions(90, 50)[:, 0].double().mean() - 1
    assert photo_leak(first) == pytest.approx(((to_other - own) + second).item() / 2, abs=1e-6)


def test_one_concept_has_nobody_to_leak_to() -> None:
    with pytest.raises(ValueError, match="two at least"):
        leaks(directions(0)[None], [directions(0)])
    with pytest.raises(ValueError, match="2 kinds of crops for 1"):
        leaks(torch.stack([directions(0)] * 2), [directions(0)])


def test_a_picture_may_show_more_than_what_must_be_there() -> None:
    sure = torch.tensor([[0.9, 0.5], [0.9, 0.4], [0.1, 0.1]])
    assert all_shown(sure).tolist() == [True, False, False]
