"""Text beside pictures: wrapped at blanks, measured, drawn centred in a box."""

from collections.abc import Iterable

from PIL import ImageDraw

from marmor.figures.style import INK, font

SIZE = 13
LINE = 17  # pixels from one line of text to the next
PAD = 5  # pixels between a label and its picture

Box = tuple[int, int, int, int]  # left, top, right, bottom


def widest_word(labels: Iterable[str]) -> int:
    """Pixels that the longest unbreakable piece of the labels takes."""
    return width(word for label in labels for word in label.split())


def wrap(label: str, limit: int) -> str:
    """The label broken at blanks into lines of ``limit`` pixels, or of one longer word.

    Where it has line breaks, it is broken there too.
    """
    return "\n".join(line for part in label.split("\n") for line in _lines(part, limit))


def _lines(text: str, limit: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and width([f"{lines[-1]} {word}"]) <= limit:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def width(wrapped: Iterable[str]) -> int:
    """Pixels that the longest line of any label takes; 0 where there is none."""
    lines = (line for label in wrapped for line in label.split("\n"))
    return max((round(font(SIZE).getlength(line) + 0.5) for line in lines), default=0)


def height(wrapped: Iterable[str]) -> int:
    """Pixels that the label with the most lines takes; 0 where there is none."""
    return max((LINE * (label.count("\n") + 1) for label in wrapped), default=0)


def draw(pen: ImageDraw.ImageDraw, box: Box, wrapped: str) -> None:
    """Writes a label into the middle of the box."""
    left, top, right, bottom = box
    lines = wrapped.split("\n")
    first = (top + bottom) / 2 - LINE * (len(lines) - 1) / 2
    for index, line in enumerate(lines):
        place = ((left + right) / 2, first + LINE * index)
        pen.text(place, line, fill=INK, font=font(SIZE), anchor="mm")
