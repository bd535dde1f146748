"""A run told as one page: a self-contained HTML file that needs no network and no scripts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from PIL import Image

from marmor.base.files import write_text
from marmor.figures.embedding import embed
from marmor.figures.style import PAPER

NUMBER = re.compile(r"[-−+±<≈]?\s?\d[\d.,\s–±e−+-]*\s?%?|nan|–")

Cell = str | int | float


@dataclass(frozen=True)
class Picture:
    """A picture with a caption; ``alt`` says in words what it shows and may not be empty."""

    title: str
    caption: str
    alt: str
    image: Image.Image | Path

    def __post_init__(self) -> None:
        if not self.alt.strip():
            raise ValueError(f"the picture {self.title!r} needs an alt text")


@dataclass(frozen=True)
class Table:
    """Rows of texts and numbers, each as long as ``columns``; columns of numbers align right."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"every row of {self.title!r} needs {len(self.columns)} cells")

    @property
    def texts(self) -> list[list[str]]:
        return [[_text(cell) for cell in row] for row in self.rows]

    @property
    def numeric(self) -> list[bool]:
        """For each column whether all its cells are numbers."""
        columns = list(zip(*self.texts, strict=True)) or [()] * len(self.columns)
        return [bool(cells) and all(map(NUMBER.fullmatch, cells)) for cells in columns]


@dataclass(frozen=True)
class Text:
    """Paragraphs under a title."""

    title: str
    paragraphs: Sequence[str]


@dataclass(frozen=True)
class Section:
    """A chapter of the page; ``lead`` is its first paragraph, "" for none."""

    title: str
    lead: str = ""
    items: Sequence[Picture | Table | Text] = ()


@dataclass(frozen=True)
class Report:
    """The page. All texts are plain: markup in them is shown, not obeyed.

    ``headline``: (label, value, note), shown as cards; ``facts``: how the run was made;
    ``commands``: the lines that make it again; ``files``: (path relative to the page, what it
    holds).
    """

    title: str
    lead: str = ""
    headline: Sequence[tuple[str, str, str]] = ()
    sections: Sequence[Section] = ()
    facts: Mapping[str, Cell] = field(default_factory=dict)
    commands: Sequence[str] = ()
    files: Sequence[tuple[str, str]] = ()
    references: Sequence[str] = ()
    language: str = "en"


def render(report: Report) -> str:
    """The report as HTML; the same report gives the same text.

    Raises UserError where the file of a picture cannot be read.
    """
    return _template().render(report=report, paper=PAPER)


def write(report: Report, path: Path) -> None:
    """Writes the page, whole or not at all; UserError where the system refuses the write."""
    write_text(path, render(report))


@lru_cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("marmor.figures"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"embed": embed, "text": _text, "link": quote}
    environment.tests |= {
        "picture": lambda item: isinstance(item, Picture),
        "table": lambda item: isinstance(item, Table),
    }
    return environment.get_template("report.html.j2")


def _text(value: Cell) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
