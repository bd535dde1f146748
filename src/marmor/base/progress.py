"""Progress bars with the time left, on the terminal; silent lines where there is none."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

# Of several processes only the first speaks; launchers number them in RANK.
console = Console(
    highlight=False, markup=False, soft_wrap=True, quiet=os.environ.get("RANK", "0") != "0"
)
LINE_SECONDS = 30
"""How often a line is printed where output is no terminal (a log file, CI)."""


class Bar(Protocol):
    """Shows how far work has come."""

    def __call__(self, share: float, note: str = "") -> None:
        """``share`` in [0, 1] of the work is done; ``note`` is shown behind the bar."""


@contextmanager
def progress_bar(title: str) -> Iterator[Bar]:
    """A bar for one piece of long work."""
    if console.is_terminal:
        yield from _live(title)
    else:
        yield from _lines(title)


def _live(title: str) -> Iterator[Bar]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as bars:
        task = bars.add_task(title, total=1.0, note="")
        yield lambda share, note="": bars.update(task, completed=share, note=note)
        bars.update(task, completed=1.0)


def _lines(title: str) -> Iterator[Bar]:
    started = printed = time.monotonic()
    first: tuple[float, float] | None = None  # a resumed run begins in the middle

    def show(share: float, note: str = "") -> None:
        nonlocal printed, first
        now = time.monotonic()
        first = first or (now, share)
        since, before = first
        if now - printed >= LINE_SECONDS and share > before:
            left = (now - since) * (1 - share) / (share - before)
            console.print(f"{title}: {100 * share:.0f} %, {left:.0f} s left  {note}")
            printed = now

    yield show
    console.print(f"{title}: done in {time.monotonic() - started:.1f} s")
