"""The study of scenes: what is compared with what, and that it goes on where it stopped."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from marmor.base.errors import UserError
from marmor.cli import main
from marmor.recipes import study
from marmor.recipes.designs import DESIGNS
from marmor.recipes.study import Scores, StudySettings, Variation
from marmor.recipes.wishes import Wishes
from marmor.training import RunFolder


@pytest.fixture
def scenes(tiny_scenes: Path, tmp_path: Path) -> Path:
    """The same with short lists."""
    path = tmp_path / "scenes"
    shutil.copytree(tiny_scenes, path)
    for name in study.REQUESTS:
        (path / f"{name}.json").write_text('[["red cube"], ["blue sphere", "gray cube"]]')
    return path


FEW = (
    Variation("embedding", "tokens attended to"),
    Variation("embedding", "multi-hot, 1 hidden layers", "uvit-summed-1"),
    Variation("average of weights", "with"),
    Variation("average of weights", "without", averaged=False),
    Variation("steps", "12", wishes=Wishes(steps=12)),
    Variation("steps", "2", wishes=Wishes(steps=2)),
)


def test_everything_is_trained_drawn_compared_and_goes_on(
    scenes: Path, tiny_scene_judge: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(study, "VARIATIONS", FEW)
    run = tmp_path / "study"
    words = ["--data", str(scenes), "--size", "16", "--steps", "4", "--seeds", "2"]
    main(["study", "iclevr", *words, "--judge", str(tiny_scene_judge), "--run", str(run)])
    rows = list(csv.DictReader((run / "table.csv").open()))
    assert [row["answer"] for row in rows] == [variation.answer for variation in FEW]
    assert [row["that is"] == "the first" for row in rows] == [True, False] * 3
    figures = json.loads((run / "summary.json").read_text())
    found = figures["average-of-weights-without"]["found"]
    assert {name: len(values) for name, values in found.items()} == {"test": 2, "new_test": 2}
    networks = [study._generator(run / "parts" / "uvit", FEW[k]).denoiser.network for k in (2, 3)]
    averaged, last = (network.state_dict()["positions"] for network in networks)
    assert not torch.equal(averaged, last)
    assert {path.name for path in (run / "parts").iterdir()} == {"uvit", "uvit-summed-1"}
    # What is kept is not drawn again.
    text = (run / "table.txt").read_text()
    (run / "table.txt").unlink()
    monkeypatch.setattr(study, "scores_over", None)
    study.resume(RunFolder.open(run))
    assert (run / "table.txt").read_text() == text


def test_differences_are_taken_draw_by_draw(monkeypatch) -> None:
    first, better, same = FEW[0], FEW[1], replace(FEW[1], answer="other")
    monkeypatch.setattr(study, "VARIATIONS", (first, better, same))

    def scores(*values: float) -> Scores:
        return Scores(
            {name: list(values) for name in study.REQUESTS}, {"test": [1, 1], "new_test": [1, 1]}
        )

    found = {first: scores(0.2, 0.8), better: scores(0.31, 0.9), same: scores(0.3, 0.7)}
    rows = [study._row(variation, found) for variation in found]
    assert [row[-1] for row in rows] == ["the first", "better", "not told apart"]
    assert rows[1][-2].startswith("+0.105 (+0.0")


def test_every_variation_can_be_trained_and_drawn() -> None:
    assert {variation.network for variation in study.VARIATIONS} <= set(DESIGNS)
    questions = [variation.question for variation in study.VARIATIONS]
    assert all(questions.count(question) > 1 for question in questions)
    assert len({variation.file for variation in study.VARIATIONS}) == len(study.VARIATIONS)


def test_one_draw_has_no_interval(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--seeds must be at least 2"):
        study.study(StudySettings(data="none", run=tmp_path / "run", seeds=1))
    assert not (tmp_path / "run").exists()
