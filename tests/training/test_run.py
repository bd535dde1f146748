"""The run folder: creation, opening, refusals."""

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
    assert run.load() is None
    with pytest.raises(UserError, match="no checkpoint yet"):
        run.average_weights()


def test_an_unwritable_place_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        RunFolder.create(tmp_path / "file" / "run", "digits", {})
