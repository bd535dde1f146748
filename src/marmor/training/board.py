"""TensorBoard beside metrics.jsonl, where it is installed."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any


class Board:
    """Writes every number of a log record to ``<run>/tensorboard``; does nothing without it."""

    def __init__(self, run: Path) -> None:
        self.writer = None
        if find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(run / "tensorboard"))

    def write(self, record: dict[str, Any]) -> None:
        """``record`` holds its own ``"step"``; words are left to metrics.jsonl."""
        if self.writer is not None:
            numbers = {name: value for name, value in record.items() if not isinstance(value, str)}
            for name, value in numbers.items():
                self.writer.add_scalar(name, value, record["step"])

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
