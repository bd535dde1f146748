"""Pictures of pictures: grids, strips, and samples beside their neighbours.

Images are uint8 tensors of shape (N, C, H, W) with C 1 or 3, enlarged by whole numbers so that
every pixel stays a sharp square. Wrong dtypes raise TypeError, wrong shapes and counts ValueError.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from marmor.base.files import atomic
from marmor.figures import labels
from marmor.figures.style import PAPER

ROW_LABEL = 160  # pixels after which the label of a row is wrapped


def grid(
    images: Tensor,
    columns: int,
    scale: int = 2,
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    gap: int = 2,
) -> Image.Image:
    """Images in reading order, ``columns`` to a row, ``gap`` pixels around each.

    Without labels the picture at (row, column) has its corner at x = gap + column (W scale + gap),
    y = gap + row (H scale + gap). Row labels stand at the left, column labels above; a column grows
    where the longest word of a label needs it. The last row may be short.
    """
    return _lay(_tiles(images, scale), columns, row_labels or (), column_labels or (), gap)


def pairs(
    left: Tensor,
    right: Tensor,
    scale: int = 2,
    row_labels: Sequence[str] | None = None,
    left_label: str = "sample",
    right_label: str = "nearest",
    gap: int = 2,
) -> Image.Image:
    """A row for each of ``left`` (N, C, H, W): the image, then its ``right`` (N, K, C, H, W).

    For samples beside their nearest training images: the columns at the right stand a little apart
    and are headed "nearest 1" … "nearest K".
    """
    if right.ndim != 5 or len(right) != len(left) or right.shape[2:] != left.shape[1:]:
        raise ValueError(
            f"left and right must have shapes (N, C, H, W) and (N, K, C, H, W), not "
            f"{tuple(left.shape)} and {tuple(right.shape)}"
        )
    count = right.shape[1]
    tiles = _tiles(torch.cat([left[:, None], right], 1).flatten(0, 1), scale)
    heads = [left_label, *(f"{right_label} {rank}" for rank in range(1, count + 1))]
    return _lay(tiles, count + 1, row_labels or (), heads, gap, apart=12)


def strip(frames: Tensor, captions: Sequence[str], scale: int = 4, gap: int = 6) -> Image.Image:
    """Frames (F, C, H, W) in one row, a caption below each; an empty caption leaves its place free.

    Frame f has its corner at x = gap + f (W scale + gap), y = gap. Where the longest word of a
    caption is wider than a frame, the frames move apart to leave it room.
    """
    tiles = _tiles(frames, scale)
    _at_least("gap", gap, 0)
    _counts("captions", captions, len(tiles))
    width, height = max(tiles[0].width, labels.widest_word(captions)), tiles[0].height
    captions = [labels.wrap(caption, width) for caption in captions]
    foot = gap + height + labels.PAD
    sheet = _sheet(gap + len(tiles) * (width + gap), foot + labels.height(captions) + gap)
    pen = ImageDraw.Draw(sheet)
    for index, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        x = gap + index * (width + gap)
        sheet.paste(tile, (x + (width - tile.width) // 2, gap))
        labels.draw(pen, (x, foot, x + width, foot + labels.height([caption])), caption)
    return sheet


def stack(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures one above the other, at the left edge, with the resolution of the first."""
    whole = _sheet(max(each.width for each in pictures), sum(each.height for each in pictures))
    top = 0
    for each in pictures:
        whole.paste(each, (0, top))
        top += each.height
    if "dpi" in pictures[0].info:
        whole.info["dpi"] = pictures[0].info["dpi"]
    return whole


def side_by_side(
    pictures: Sequence[Image.Image], titles: Sequence[str], gap: int = 24
) -> Image.Image:
    """Pictures in one row, ``gap`` pixels between them, a title above each."""
    _counts("titles", titles, len(pictures))
    heads = [labels.wrap(title, each.width) for title, each in zip(titles, pictures, strict=True)]
    top = labels.height(heads) + labels.PAD
    width = sum(each.width for each in pictures) + gap * (len(pictures) - 1)
    whole = _sheet(width, top + max(each.height for each in pictures))
    pen, x = ImageDraw.Draw(whole), 0
    for head, each in zip(heads, pictures, strict=True):
        labels.draw(pen, (x, 0, x + each.width, top - labels.PAD), head)
        whole.paste(each, (x, top))
        x += each.width + gap
    return whole


def save_png(image: Image.Image, path: Path) -> None:
    """Writes a PNG, whole or not at all, with the resolution that the image carries.

    Raises UserError where the operating system refuses the write.
    """
    with atomic(path) as temporary:
        image.save(temporary, format="PNG", dpi=image.info.get("dpi"))


def _lay(
    tiles: list[Image.Image],
    columns: int,
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    gap: int,
    apart: int = 0,
) -> Image.Image:
    """Tiles on a labelled sheet; ``apart`` pixels more between the first column and the others."""
    _at_least("columns", columns, 1)
    _at_least("gap", gap, 0)
    rows = -(-len(tiles) // columns)
    if row_labels:
        _counts("row_labels", row_labels, rows)
    if column_labels:
        _counts("column_labels", column_labels, columns)

    width = max(tiles[0].width, labels.widest_word(column_labels))
    heads = [labels.wrap(label, width) for label in column_labels]
    sides = [labels.wrap(label, ROW_LABEL) for label in row_labels]
    height = max(tiles[0].height, labels.height(sides))
    left = gap + (labels.width(sides) + 2 * labels.PAD if sides else 0)
    top = gap + (labels.height(heads) + labels.PAD if heads else 0)
    across = [left + column * (width + gap) + apart * (column > 0) for column in range(columns)]
    down = [top + row * (height + gap) for row in range(rows)]

    sheet = _sheet(across[-1] + width + gap, down[-1] + height + gap)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        x, y = across[column] + (width - tile.width) // 2, down[row] + (height - tile.height) // 2
        sheet.paste(tile, (x, y))
    pen = ImageDraw.Draw(sheet)
    for x, label in zip(across, heads, strict=False):
        labels.draw(pen, (x, gap, x + width, top - labels.PAD), label)
    for y, label in zip(down, sides, strict=False):
        labels.draw(pen, (gap, y, left, y + height), label)
    return sheet


def _tiles(images: Tensor, scale: int) -> list[Image.Image]:
    if images.dtype != torch.uint8:
        raise TypeError(f"images to show are uint8, not {images.dtype}")
    if images.ndim != 4 or len(images) == 0 or images.shape[1] not in (1, 3):
        raise ValueError(
            f"images to show have shape (N, 1 or 3, H, W), N at least 1, not {tuple(images.shape)}"
        )
    _at_least("scale", scale, 1)
    pixels = images.detach().cpu().expand(-1, 3, -1, -1).permute(0, 2, 3, 1)
    pixels = pixels.repeat_interleave(scale, 1).repeat_interleave(scale, 2).contiguous()
    return [Image.fromarray(each) for each in pixels.numpy()]


def _sheet(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), PAPER)


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")


def _counts(name: str, given: Sequence[str], expected: int) -> None:
    if len(given) != expected:
        raise ValueError(f"{name} must hold {expected} texts, not {len(given)}")
