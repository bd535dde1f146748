import math
import warnings

import matplotlib
import numpy as np
import pytest
import torch

from marmor.figures import bars, confusion, curves, intervals, plots, scatter

# Taken before any test has drawn; asking for the backend would choose one.
BEFORE = {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}
LINE = ([1, 2, 3], [0.5, 0.25, 0.125])


def draw_curves(ys=LINE[1], **options):
    return curves({"loss": (LINE[0], ys)}, "step", "loss", "Loss", **options)


def draw_confusion(corner: int = 0):
    return confusion(torch.tensor([[8, corner], [1, 9]]), ["cat", "dog"], "Read")


def draw_bars(low: float = 0.4):
    return bars(["cat", "dog"], [(0.5, low, 0.6), (1.0, 0.9, 1.0)], "Shares")


def draw_scatter(groups=(0, 1, 1)):
    return scatter(np.eye(3)[:, :2], groups, ["cat", "dog"], "Features")


@pytest.mark.parametrize("draw", [draw_curves, draw_confusion, draw_bars, draw_scatter])
def test_plots_are_pictures_of_double_density(draw):
    picture = draw()
    assert picture.mode == "RGB"
    assert picture.info["dpi"] == (192, 192)
    assert 200 < picture.width < 2000
    assert 200 < picture.height < 2000
    assert picture.tobytes() == draw().tobytes()


def test_plots_differ_where_the_data_differ():
    assert draw_curves().tobytes() != draw_curves([0.5, 0.25, 0.2]).tobytes()
    assert draw_curves().tobytes() != draw_curves(logy=True).tobytes()
    assert draw_confusion().tobytes() != draw_confusion(2).tobytes()
    assert draw_bars().tobytes() != draw_bars(0.3).tobytes()
    assert draw_scatter().tobytes() != draw_scatter((0, 0, 1)).tobytes()
    with pytest.raises(ValueError, match="3 points cannot be of 2 groups"):
        draw_scatter((0, 1))


def test_confusion_darkens_by_the_share_of_the_row():
    counts = np.array([[1000, 0], [0, 1]])
    pixels = np.asarray(confusion(counts, ["a", "b"], ""))
    darkest = (pixels == [0, 59, 92]).all(2)
    once = np.asarray(confusion(np.array([[1000, 0], [1, 0]]), ["a", "b"], ""))
    assert darkest.sum() > 5000
    rows = np.flatnonzero(darkest.any(1))
    columns = np.flatnonzero(darkest.any(0))
    middle = ((rows[0] + rows[-1]) // 2, (columns[0] + columns[-1]) // 2)
    upper, lower = darkest[: middle[0]], darkest[middle[0] :]
    assert upper[:, : middle[1]].sum() > 5 * upper[:, middle[1] :].sum()
    assert lower[:, middle[1] :].sum() > 5 * lower[:, : middle[1]].sum()
    assert not np.array_equal(pixels, once)


def test_many_classes_stay_a_picture():
    picture = confusion(np.zeros((60, 60), dtype=int), [f"class {i}" for i in range(60)], "")
    assert picture.width < 3000


def test_more_series_than_colours_have_their_legend_beside_the_plot():
    series = {str(index): ([0, 1], [index, index]) for index in range(9)}
    six = {name: series[name] for name in list(series)[:6]}
    assert curves(six, "x", "y", "").size == draw_curves().size
    assert curves(series, "x", "y", "").width > draw_curves().width


def test_a_logarithmic_x_writes_every_x_out():
    series = {"a": ([6, 8, 200], [1, 2, 3])}
    plain, logarithmic = (curves(series, "x", "y", "", logx=log) for log in (False, True))
    assert plain.size == logarithmic.size
    assert plain.tobytes() != logarithmic.tobytes()


def test_an_unknown_share_leaves_its_row_empty():
    known = bars(["a", "b"], [(0.5, 0.4, 0.6), (0.2, 0.1, 0.3)], "")
    unknown = bars(["a", "b"], [(0.5, 0.4, 0.6), (math.nan, 0.0, 1.0)], "")
    assert known.tobytes() != unknown.tobytes()


def test_wrong_counts_are_refused():
    with pytest.raises(ValueError, match="labels"):
        bars(["a"], [], "")
    with pytest.raises(ValueError, match="matrix"):
        confusion(np.zeros((2, 3)), ["a", "b"], "")


def test_global_plotting_settings_stay_as_they_are():
    draw_curves()
    draw_confusion()
    draw_bars()
    assert {name: matplotlib.rcParams[name] for name in BEFORE} == BEFORE


def test_few_points_are_marked_and_many_are_not(monkeypatch):
    def drawn(count):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return np.asarray(curves({"loss": (range(count), [1] * count)}, "step", "", ""))

    few, many = drawn(12), drawn(13)
    monkeypatch.setattr(plots, "DOTTED", 0)
    assert not np.array_equal(few, drawn(12))
    assert np.array_equal(many, drawn(13))


@pytest.mark.parametrize("label", ["a", "runs/a/long/path/to/what/was/drawn"])
def test_a_long_title_takes_two_lines_and_is_not_cut(label: str) -> None:
    short, long = (
        np.asarray(intervals([label], [(1.0, 0.5, 1.5)], title).convert("L"))
        for title in ("short", "a title of so many words " * 3)
    )
    assert long.shape[0] > short.shape[0]
    assert (long[:, -8:] > 200).all()
