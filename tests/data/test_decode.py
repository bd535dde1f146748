import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from marmor.base.errors import UserError
from marmor.data.decode import REMARK, decode


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_grey_and_colour_come_back_unchanged(pixels):
    for shape in [(5, 7), (5, 7, 3)]:
        picture = decode(encoded(Image.fromarray(pixels(*shape))), "x.png")
        assert (picture.pixels.squeeze() == pixels(*shape)).all()
        assert picture.pixels.ndim == 3
        assert picture.remarks == ()


def test_transparency_is_composited_on_white():
    layered = Image.new("RGBA", (1, 2), (200, 0, 0, 255))
    layered.putpixel((0, 1), (0, 0, 0, 0))
    picture = decode(encoded(layered), "x.png")
    assert picture.pixels[:, 0].tolist() == [[200, 0, 0], [255, 255, 255]]
    assert picture.remarks == ("transparency was composited on white.",)
    opaque = decode(encoded(Image.new("RGBA", (1, 1), (200, 0, 0, 255))), "x.png")
    assert opaque.remarks == ()


def test_grey_with_transparency_stays_grey():
    picture = decode(encoded(Image.new("LA", (1, 1), (10, 0))), "x.png")
    assert picture.pixels.tolist() == [[[255]]]


def test_palettes_and_black_and_white():
    palette = Image.new("RGB", (2, 2), (3, 2, 1)).quantize(4)
    assert decode(encoded(palette), "x.png").pixels[0, 0].tolist() == [3, 2, 1]
    assert decode(encoded(Image.new("1", (2, 2), 1)), "x.png").pixels[0, 0].tolist() == [255]


def test_sixteen_bits_are_reduced_with_a_remark():
    deep = Image.fromarray(np.array([[0x12FF, 0xFF00]], np.uint16))
    picture = decode(encoded(deep), "x.png")
    assert picture.pixels.flatten().tolist() == [0x12, 0xFF]
    assert picture.remarks == ("16 bits per channel were reduced to the upper 8.",)


@pytest.mark.parametrize("largest", [65535, 1023])
def test_portable_maps_of_more_than_eight_bits_are_reduced_alike(largest: int) -> None:
    half = (largest // 2).to_bytes(2, "big")
    picture = decode(b"P5\n2 1\n%d\n" % largest + half + largest.to_bytes(2, "big"), "x.pgm")
    assert picture.pixels.flatten().tolist() == [0x7F, 0xFF]
    assert picture.remarks == ("16 bits per channel were reduced to the upper 8.",)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_thirty_two_bits_are_refused(mode):
    with pytest.raises(UserError, match=r"x.tif has 32 bits per pixel"):
        decode(encoded(Image.new(mode, (2, 2)), "TIFF"), "x.tif")


def test_other_colour_spaces_are_converted_with_a_remark():
    picture = decode(encoded(Image.new("CMYK", (4, 4)), "JPEG"), "x.jpg")
    assert picture.pixels.shape == (4, 4, 3)
    assert picture.remarks == ("CMYK was converted to RGB.",)


def test_exif_orientation_is_honoured():
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(Image.new("RGB", (8, 4)), "JPEG", exif=exif)
    assert decode(turned, "x.jpg").pixels.shape == (8, 4, 3)


def test_only_the_first_frame_is_read():
    frames = [Image.new("L", (2, 2), 255), Image.new("L", (2, 2), 0)]
    moving = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    picture = decode(moving, "x.gif")
    assert picture.pixels.min() == 255
    assert any("first" in remark for remark in picture.remarks)


def test_what_marmor_wrote_into_a_picture_is_remarked():
    text = PngImagePlugin.PngInfo()
    text.add_text(REMARK, "drawn in a hurry – by chance.")
    text.add_text("Comment", "of no concern")
    picture = decode(encoded(Image.new("L", (2, 2)), pnginfo=text), "x.png")
    assert picture.remarks == ("drawn in a hurry – by chance.",)


def test_damaged_images_are_named(pixels):
    whole = encoded(Image.fromarray(pixels(64, 64, 3)))
    for broken in [whole[: len(whole) // 2], b"", b"no image", b"%!PS-Adobe-3.0 EPSF-3.0\n"]:
        with pytest.raises(UserError, match=r"a/x.png cannot be read as an image") as raised:
            decode(broken, "a/x.png")
        assert " at 0x" not in str(raised.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "MPO", "BMP", "GIF", "TIFF", "WEBP", "PPM"])
def test_every_kind_of_file_is_read(kind):
    assert decode(encoded(Image.new("RGB", (4, 3)), kind), "x").pixels.shape == (3, 4, 3)
