"""Pictures of single answers, of how right against how sure, of cosines."""

import numpy as np
import pytest
import torch
from PIL import Image

from marmor.figures import Case, cases, reliability, similarity


def _colours(image: Image.Image) -> set[tuple[int, ...]]:
    pixels = np.asarray(image).reshape(-1, 3)
    return set(map(tuple, np.unique(pixels, axis=0).tolist()))


RED = torch.tensor([250, 0, 0], dtype=torch.uint8)[:, None, None].expand(3, 8, 8)
GREEN_BAR, BLUE_BAR = (0, 158, 115), (86, 180, 233)


def test_the_bar_of_the_true_class_is_green():
    classes = [("fox", 0.6), ("cat", 0.3)]
    right = _colours(cases([("right", [Case(RED, "1.png", classes, "fox")])]))
    unknown = _colours(cases([("any", [Case(RED, "1.png", classes)])]))
    assert {GREEN_BAR, BLUE_BAR, (250, 0, 0)} <= right
    assert GREEN_BAR not in unknown
    assert BLUE_BAR in unknown


def test_percentages_stand_beside_the_bar_of_a_sure_answer():
    pixels = np.asarray(cases([("right", [Case(RED, "1.png", [("fox", 1.0)], "fox")])]))
    edge = np.nonzero((pixels == GREEN_BAR).all(2))[1].max()
    beside = pixels[(pixels == GREEN_BAR).all(2).any(1), edge + 2 :]
    assert beside.min() < 140, "letters"
    assert not (beside == GREEN_BAR).all(2).any()


def test_columns_may_differ_in_length_and_may_not_all_be_empty():
    one = Case(RED[:1], "grey.png", [("fox", 1.0)])
    tall = cases([("right", [one, one]), ("wrong", [one])])
    assert tall.height > cases([("right", [one])]).height * 1.5
    with pytest.raises(ValueError, match="no cases"):
        cases([("right", [])])


def test_points_stand_where_they_should():
    empty = np.asarray(reliability([], [], "t")).astype(int)
    found = np.asarray(reliability([0.9], [(0.1, 0.05, 0.2)], "t")).astype(int)
    rows, columns = np.nonzero(np.abs(found - empty).sum(2))
    # Sure and wrong: at the lower right.
    assert rows.mean() > 0.6 * found.shape[0]
    assert columns.mean() > 0.6 * found.shape[1]
    with pytest.raises(ValueError, match="1 confidences for 0"):
        reliability([0.5], [], "t")


def test_the_largest_cosine_is_darkest_and_pictures_stand_above():
    values = torch.tensor([[0.1, 0.3]])
    images = torch.stack([RED, RED.flip(0)])
    found = np.asarray(similarity(values, images, ["fox"], "t")).astype(int)
    red = np.nonzero((found == [250, 0, 0]).all(2))
    dark = np.nonzero((found == [0, 59, 92]).all(2))  # the end of the shades
    assert red[0].max() < dark[0].min()
    assert red[1].max() < dark[1].min()
    with pytest.raises(ValueError, match="expected"):
        similarity(values, images, ["fox", "cat"], "t")
