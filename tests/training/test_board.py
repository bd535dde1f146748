"""TensorBoard: every number of a record under its name and step, nothing without the package."""

from pathlib import Path

import pytest

from marmor.training import board


class Writer:
    """Stands in for TensorBoard's own writer, which is not among the test packages."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, float, int]] = []

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.lines.append((name, value, step))


def test_every_number_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "find_spec", lambda name: None)
    panel = board.Board(tmp_path)
    panel.writer = writer = Writer()  # type: ignore[assignment]
    panel.write({"step": 20, "loss": 0.5})
    assert writer.lines == [("step", 20, 20), ("loss", 0.5, 20)]


def test_without_the_package_nothing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "find_spec", lambda name: None)
    panel = board.Board(tmp_path)
    panel.write({"step": 20, "loss": 0.5})
    panel.close()
    assert not list(tmp_path.iterdir())
