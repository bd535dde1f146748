import base64
import io
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from PIL import Image

from marmor.base.errors import UserError
from marmor.figures import Picture, Report, Section, Table, Text, render, write

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Collects elements and texts; fails where an element is closed out of order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def picture(width: int = 28, height: int = 14, **info) -> Picture:
    image = Image.new("RGB", (width, height), "#0072b2")
    image.info |= info
    return Picture("A sample", "Drawn at seed 0.", 'a "blue" rectangle', image)


@pytest.fixture
def report() -> Report:
    table = Table("Solvers", ["name", "steps", "distance"], [["<new1>", 10, 1.23456], ["b", 5, 2]])
    text = Text("How to read this", ["A <new1> cat & a dog.", "More."])
    return Report(
        title="A <new1> cat",
        lead="It <b>works</b>.",
        headline=[("agreement", "94 %", "of 100"), ("distance", "3.1", "")],
        sections=[
            Section("Samples", "What <i>it</i> draws", [picture(), text]),
            Section("T", "", [table]),
        ],
        facts={"seed": 0, "rate": 0.00031, "prompt": "<new1>"},
        commands=["marmor sample --prompt '<new1> cat' > log"],
        files=[("samples/a b#1.png", "a picture"), ("//example.org/x", "stays here")],
        references=["Ho et al. 2020 <https://arxiv.org/abs/2006.11239>"],
    )


def test_nothing_comes_from_elsewhere(report):
    page = Page(render(report))
    for tag, attributes in page.elements:
        if tag in ("img", "script", "link", "iframe", "source"):
            for name in ("src", "href"):
                assert (attributes.get(name) or "data:").startswith("data:")
    assert page.all("script") == page.all("link") == []
    assert "@import" not in render(report)
    assert "url(" not in render(report)


def test_links_are_relative_and_quoted(report):
    links = [each["href"] for each in Page(render(report)).all("a")]
    assert links == ["#section-1", "#section-2", "./samples/a%20b%231.png", ".///example.org/x"]


def test_texts_are_shown_not_obeyed(report):
    html = render(report)
    page = Page(html)
    assert "<new1>" not in html
    assert "".join(page.texts).count("<new1>") == 6
    assert not page.all("b")
    assert not page.all("i")


def test_every_picture_has_its_alt_text(report):
    (image,) = Page(render(report)).all("img")
    assert image["alt"] == 'a "blue" rectangle'
    with pytest.raises(ValueError, match="alt"):
        replace(picture(), alt=" ")


def test_pictures_are_whole_pngs(report):
    (attributes,) = Page(render(report)).all("img")
    kind, data = str(attributes["src"]).split(",", 1)
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert image.size == (28, 14)
        assert image.getpixel((0, 0)) == (0, 114, 178)


@pytest.mark.parametrize(
    ("shown", "size", "pixels"),
    [
        (picture(28, 14), ("224", "112"), "pixels"),
        (picture(300, 300), ("300", "300"), "pixels"),
        (picture(900, 300), ("900", "300"), None),
        (picture(900, 300, dpi=(192, 192)), ("450", "150"), None),
        (picture(900, 300, dpi=(72, 72)), ("900", "300"), None),
    ],
)
def test_small_pictures_keep_their_pixels_and_dense_ones_their_size(shown, size, pixels):
    html = render(Report("t", sections=[Section("s", items=[shown])]))
    (image,) = Page(html).all("img")
    assert (image["width"], image["height"]) == size
    assert image.get("class") == pixels
    assert "image-rendering: pixelated" in html


def test_pictures_from_files(tmp_path):
    Image.new("CMYK", (5, 5)).save(tmp_path / "a.jpg")
    page = Page(
        render(
            Report(
                "t", sections=[Section("s", items=[replace(picture(), image=tmp_path / "a.jpg")])]
            )
        )
    )
    assert str(page.all("img")[0]["src"]).startswith("data:image/png")
    (tmp_path / "b.png").write_text("no picture")
    for name in ("missing.png", "b.png"):
        broken = Section("s", items=[replace(picture(), image=tmp_path / name)])
        with pytest.raises(UserError, match=name):
            render(Report("t", sections=[broken]))


def test_tables_align_numbers_and_scroll_in_their_box(report):
    page = Page(render(report))
    assert [each.get("class") for each in page.all("th")] == [None, "number", "number"]
    assert "1.235" in page.texts
    assert any(each.get("class") == "box scroll" for each in page.all("div"))


@pytest.mark.parametrize("cell", [3, -1.5, "94.2 %", "−3", "94.0 ± 1.2 %", "1,000", "1e-4", "–"])
def test_cells_that_count_as_numbers(cell):
    assert Table("t", ["a"], [[cell]]).numeric == [True]


@pytest.mark.parametrize("rows", [[["2nd order"]], [[1], ["DDIM"]], []])
def test_columns_that_are_text(rows):
    assert Table("t", ["a"], rows).numeric == [False]


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="2 cells"):
        Table("t", ["a", "b"], [["one"]])


def test_headings_descend_without_gaps(report):
    page = Page(render(report))
    levels = [int(tag[1]) for tag, _ in page.elements if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))


def test_page_suits_phones_and_the_dark(report):
    html = render(report)
    assert "width=device-width" in str(Page(html).all("meta"))
    assert "prefers-color-scheme: dark" in html
    assert Page(html).all("html") == [{"lang": "en"}]


def test_an_empty_report_is_a_page():
    page = Page(render(Report("Nothing yet")))
    assert "Nothing yet" in page.texts
    assert not page.all("section")


def test_write_is_repeatable_and_leaves_one_file(report, tmp_path):
    write(report, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == render(report)
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]
