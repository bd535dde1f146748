"""TensorBoard: every number of a record under its name and step, nothing without the package."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from marmor.training import board


def test_tensorboard_reads_every_number_back(tmp_path: Path) -> None:
    panel = board.Board(tmp_path)
    for step, loss in ((20, 0.5), (40, 0.25)):
        panel.write({"step": step, "loss": loss, "retreat": "a word is no number"})
    panel.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [
        (20, 0.5),
        (40, 0.25),
    ]


def test_without_the_package_nothing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "find_spec", lambda name: None)
    panel = board.Board(tmp_path)
    panel.write({"step": 20, "loss": 0.5})
    panel.close()
    assert not list(tmp_path.iterdir())
