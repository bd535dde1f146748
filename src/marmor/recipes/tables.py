"""A table for people and programs: printed, as table.txt and as table.csv."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from marmor.base.files import write_csv, write_text
from marmor.base.progress import console


def show_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], path: Path | None, caption: str = ""
) -> None:
    """Prints the rows and the caption; writes them into the folder ``path``, where one is named.

    The caption stays out of table.csv.
    """
    shown = Table(*columns, box=None, caption=caption or None)
    for row in rows:
        shown.add_row(*row)
    console.print(shown)
    if path is None:
        return
    cells = [list(columns), *map(list, rows)]
    write_csv(path / "table.csv", cells)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells]
    told = [line.rstrip() for line in lines] + (["", caption] if caption else [])
    write_text(path / "table.txt", "\n".join(told) + "\n")
