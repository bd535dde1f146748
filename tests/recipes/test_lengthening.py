"""`marmor resume RUN --steps N`: a run gets a longer budget, and says so."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from marmor.base.errors import UserError
from marmor.base.files import read_json, write_json
from marmor.cli import main
from marmor.recipes.lengthening import lengthened
from marmor.recipes.page_parts import training_command
from marmor.training import Budget, RunFolder

Fails = Callable[[Callable[[], object]], str]


@pytest.fixture
def ended(data: Path, tmp_path: Path) -> RunFolder:
    """A run of 20 steps, at its end."""
    path = tmp_path / "run"
    words = ["--data", str(data), "--run", str(path), "--batch", "4", "--precision", "fp32"]
    main(["train", "digits", *words, "--steps", "20"])
    return RunFolder(path)


def test_a_run_at_its_end_goes_on_at_the_rate_of_the_longer_budget(ended: RunFolder) -> None:
    main(["resume", str(ended.path), "--steps", "80"])
    lines = ended.history()
    assert [line["step"] for line in lines] == [20, 40, 60, 80]
    rates = [line["rate"] for line in lines]
    assert rates[0] < rates[2] < rates[1]
    assert rates[3] == rates[0]
    trained = ended.average_weights()
    main(["resume", str(ended.path)])
    again = ended.average_weights()
    assert all((trained[name] == weight).all() for name, weight in again.items())


def test_a_longer_budget_is_written_down(ended: RunFolder) -> None:
    before = training_command(ended)
    main(["resume", str(ended.path), "--images", "120"])
    settings = ended.config["settings"]
    assert settings["asked"]["images"] == 120
    assert settings["asked"]["steps"] is None
    earlier = {"minutes": None, "steps": 20, "images": None, "epochs": None}
    assert settings["budgets"] == [{"budget": earlier, "until_step": 20}]
    longer = f"marmor resume {ended.path} --images 120"
    assert training_command(ended) == f"{before} && {longer}"
    main(["resume", str(ended.path), "--steps", "40"])
    assert training_command(ended) == (
        f"{before} && {longer} && marmor resume {ended.path} --steps 40"
    )


def test_what_has_been_trained_already_is_refused(ended: RunFolder, fails: Fails) -> None:
    config = json.dumps(ended.config)
    said = fails(lambda: main(["resume", str(ended.path), "--images", "80"]))
    assert "(20 steps, 80 images) already; name a budget above that" in said
    said = fails(lambda: main(["resume", str(ended.path), "--steps", "80", "--minutes", "1"]))
    assert "one unit" in said
    assert json.dumps(ended.config) == config


def test_only_budgets_that_a_recipe_has_are_taken(
    judge_run: Path, tmp_path: Path, fails: Fails
) -> None:
    said = fails(lambda: main(["resume", str(judge_run), "--images", "99999"]))
    assert "in steps or epochs or minutes, so --images cannot be told" in said
    config = read_json(judge_run / "config.json")
    write_json(tmp_path / "config.json", {**config, "recipe": "study-iclevr"})
    said = fails(lambda: main(["resume", str(tmp_path), "--minutes", "99"]))
    assert "'study-iclevr' keep the budget that they began with" in said


def test_a_run_that_cannot_be_gone_on_with_keeps_its_budget(
    ended: RunFolder, data: Path, tmp_path: Path, fails: Fails
) -> None:
    config = ended.config
    moved = data.rename(tmp_path / "moved.npz")
    fails(lambda: main(["resume", str(ended.path), "--steps", "80"]))
    moved.rename(data)
    assert ended.config == config


def test_what_is_noted_meanwhile_stays_where_the_budget_is_put_back(ended: RunFolder) -> None:
    before = ended.config["settings"]

    def note_and_fail() -> None:
        with lengthened(ended, Budget(steps=80)):
            ended.change_settings({**ended.config["settings"], "noted": 1})
            raise UserError("no")

    with pytest.raises(UserError, match="no"):
        note_and_fail()
    assert ended.config["settings"] == {**before, "noted": 1}
