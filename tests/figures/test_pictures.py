import numpy as np
import pytest
import torch
from PIL import Image, ImageColor

from marmor.base.errors import UserError
from marmor.figures import grid, pairs, save_png, side_by_side, strip
from marmor.figures.style import PAPER

LIGHT = ImageColor.getrgb(PAPER)
COLOURS = torch.tensor([[200, 0, 0], [0, 200, 0], [0, 0, 200], [90, 90, 0], [0, 90, 90]])


def plain(count: int, height: int = 4, width: int = 6) -> torch.Tensor:
    return COLOURS[:count, :, None, None].expand(-1, -1, height, width).to(torch.uint8)


def test_grid_places_pictures_in_reading_order():
    picture = grid(plain(5), columns=3, scale=2, gap=2)
    assert picture.size == (2 + 3 * (12 + 2), 2 + 2 * (8 + 2))
    for index in range(5):
        row, column = divmod(index, 3)
        corner = (2 + column * 14, 2 + row * 10)
        assert picture.getpixel(corner) == tuple(COLOURS[index].tolist())
        assert picture.getpixel((corner[0] + 11, corner[1] + 7)) == tuple(COLOURS[index].tolist())
        assert picture.getpixel((corner[0] - 1, corner[1])) == LIGHT
        assert picture.getpixel((corner[0], corner[1] - 1)) == LIGHT
    assert picture.getpixel((2 + 2 * 14 + 5, 2 + 10 + 4)) == LIGHT


def test_side_by_side_puts_pictures_in_a_row_under_their_titles():
    left, right = (grid(plain(1, side, side), 1, scale=1, gap=0) for side in (30, 40))
    whole = side_by_side([left, right], ["a", "b"], gap=10)
    assert whole.width == 30 + 10 + 40
    top = whole.height - 40
    assert top > 0
    pixels = np.asarray(whole)
    assert np.array_equal(pixels[top : top + 30, :30], np.asarray(left))
    assert np.array_equal(pixels[top:, 40:], np.asarray(right))
    assert (pixels[:top] != LIGHT).any()  # the titles
    assert (pixels[top:, 30:40] == LIGHT).all()
    with pytest.raises(ValueError, match="titles"):
        side_by_side([left, right], ["a"])


def test_pixels_become_sharp_squares():
    image = torch.randint(0, 256, (1, 3, 5, 7), generator=torch.Generator().manual_seed(0)).byte()
    shown = np.asarray(grid(image, 1, scale=3, gap=0))
    expected = image[0].permute(1, 2, 0).numpy().repeat(3, 0).repeat(3, 1)
    assert np.array_equal(shown, expected)


def test_grey_images_are_shown_grey():
    picture = grid(torch.full((1, 1, 3, 3), 77, dtype=torch.uint8), 1)
    assert picture.getpixel((3, 3)) == (77, 77, 77)


def test_labels_take_room_and_change_with_their_text():
    bare = grid(plain(4, 28, 28), 2)
    labelled = grid(plain(4, 28, 28), 2, row_labels=["1", "2"], column_labels=["0", "1"])
    other = grid(plain(4, 28, 28), 2, row_labels=["1", "3"], column_labels=["0", "1"])
    assert labelled.width > bare.width
    assert labelled.height > bare.height
    assert labelled.size == other.size
    assert labelled.tobytes() != other.tobytes()
    # The labels stand beside the pictures, never on them.
    right, low = labelled.width - bare.width, labelled.height - bare.height
    body = (right + 2, low + 2, labelled.width, labelled.height)
    assert labelled.crop(body).tobytes() == bare.crop((2, 2, *bare.size)).tobytes()


def test_a_wide_word_widens_its_column_and_blanks_break_lines():
    wide = grid(plain(2, 8, 8), 2, column_labels=["unbelievable", "x"])
    broken = grid(plain(2, 28, 28), 2, column_labels=["one two three", "x"])
    single = grid(plain(2, 28, 28), 2, column_labels=["three", "x"])
    assert wide.width > 150
    assert broken.width == single.width
    assert broken.height > single.height


def test_greek_letters_and_arrows_have_glyphs():
    def look(label: str) -> bytes:
        return strip(plain(1, 20, 20), [label]).tobytes()

    assert len({look(sign) for sign in "ηεσ→∞\uffff"}) == 6


def test_strip_has_captions_below_its_frames():
    bare = strip(plain(3, 20, 20), ["", "", ""], scale=4, gap=6)
    picture = strip(plain(3, 20, 20), ["t = 9", "t = 5", "0"], scale=4, gap=6)
    assert picture.width == 6 + 3 * 86
    for index in range(3):
        assert picture.getpixel((6 + 86 * index, 6)) == tuple(COLOURS[index].tolist())
        assert picture.getpixel((6 + 86 * index + 79, 6 + 79)) == tuple(COLOURS[index].tolist())
    below = np.asarray(picture)[6 + 80 :, 6 : 6 + 80]
    assert below.min() < 128
    assert np.asarray(bare)[6 + 80 :].min() > 200


def test_pairs_show_each_sample_before_its_neighbours():
    left = plain(2, 40, 40)
    right = torch.stack([plain(5, 40, 40)[2:5], plain(5, 40, 40)[[4, 3, 2]]])
    pixels = np.asarray(pairs(left, right, scale=2, row_labels=["a", "b"]))
    rows = [pixels[pixels.shape[0] - offset] for offset in (100, 20)]
    expected = [[0, 2, 3, 4], [1, 4, 3, 2]]
    for line, order in zip(rows, expected, strict=True):
        found = [tuple(p) for p, q in zip(line[1:], line, strict=False) if (p != q).any()]
        seen = [each for each in found if each in {tuple(c) for c in COLOURS.tolist()}]
        assert seen == [tuple(COLOURS[index].tolist()) for index in order]


@pytest.mark.parametrize(
    "call",
    [
        lambda: grid(torch.zeros(4, 4, dtype=torch.uint8), 1),
        lambda: grid(plain(0), 1),
        lambda: grid(torch.zeros(1, 2, 4, 4, dtype=torch.uint8), 1),
        lambda: grid(plain(2), 0),
        lambda: grid(plain(2), 1, scale=0),
        lambda: grid(plain(2), 1, gap=-1),
        lambda: grid(plain(2), 2, column_labels=["one"]),
        lambda: grid(plain(2), 2, row_labels=["one", "two"]),
        lambda: strip(plain(2), ["one"]),
        lambda: pairs(plain(2), plain(3)[None]),
    ],
)
def test_wrong_shapes_and_counts_are_refused(call):
    with pytest.raises(ValueError, match=r"must|have shape"):
        call()


def test_floats_are_refused():
    with pytest.raises(TypeError, match="uint8"):
        grid(torch.zeros(1, 3, 4, 4), 1)


def test_save_png_keeps_pixels_and_density(tmp_path):
    picture = grid(plain(3), 3)
    picture.info["dpi"] = (192, 192)
    save_png(picture, tmp_path / "new" / "grid.png")
    with Image.open(tmp_path / "new" / "grid.png") as read:
        assert read.tobytes() == picture.tobytes()
        assert round(read.info["dpi"][0]) == 192
    assert [each.name for each in (tmp_path / "new").iterdir()] == ["grid.png"]


def test_save_png_where_a_file_stands_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        save_png(grid(plain(1), 1), tmp_path / "file" / "grid.png")
