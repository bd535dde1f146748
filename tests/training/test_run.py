"""The run folder: creation, opening, refusals."""

import subprocess
import sys
from pathlib import Path

import pytest

from marmor.base.errors import UserError
from marmor.training import RunFolder


def test_a_run_says_by_itself_how_it_was_made(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "run", "digits", {"asked": {"seed": 3}})
    run = RunFolder.open(tmp_path / "run", "digits")
    assert run.config == {"recipe": "digits", "settings": {"asked": {"seed": 3}}}
    assert {"python", "packages", "command", "threads"} <= run.environment.keys()


def test_a_folder_in_use_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match="not empty"):
        RunFolder.create(tmp_path, "digits", {})
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_what_is_no_run_or_another_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        RunFolder.open(tmp_path)
    RunFolder.create(tmp_path / "run", "judge", {})
    with pytest.raises(UserError, match="'judge', not of 'digits'"):
        RunFolder.open(tmp_path / "run", "digits")


def test_a_run_without_checkpoint_has_no_weights(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", "digits", {})
    assert run.checkpoints.load() is None
    with pytest.raises(UserError, match="no checkpoint yet"):
        run.average_weights()


def test_an_unwritable_place_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        RunFolder.create(tmp_path / "file" / "run", "digits", {})


FILLING = """
import resource, signal, sys
from pathlib import Path
import torch
from marmor.base.errors import UserError
from marmor.training import Checkpoint, RunFolder

run = RunFolder.create(Path(sys.argv[1]), "digits", {})
def checkpoint(step, size):
    weights = {"w": torch.full((size,), float(step))}
    return Checkpoint(weights, weights, [], {"step": step})
run.checkpoints.save(checkpoint(1, 1000))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
big = checkpoint(2, 1_000_000)
for write in (lambda: run.checkpoints.save(big), lambda: run.log({"text": "x" * 30_000})):
    try:
        write()
    except UserError as error:
        print(error)
"""


def test_a_write_that_the_system_refuses_leaves_the_last_checkpoint_whole(tmp_path: Path) -> None:
    """A limit on file sizes stands for a full disk: the system refuses in the middle of a write."""
    words = [sys.executable, "-c", FILLING, str(tmp_path / "run")]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == 2
    assert "cannot write the checkpoint" in lines[0]
    assert "free some space" in lines[0]
    assert "File too large" in lines[0]
    assert "metrics.jsonl" in lines[1]
    run = RunFolder.open(tmp_path / "run")
    checkpoint = run.checkpoints.load()
    assert checkpoint is not None
    assert checkpoint.position == {"step": 1}
    assert checkpoint.average["w"].tolist() == [1.0] * 1000
    assert [path.name for path in run.checkpoints.folder.iterdir()] == ["step-000001"]
    assert run.history() == []
