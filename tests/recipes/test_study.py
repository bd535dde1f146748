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
from marmor.recipes import iclevr, study
from marmor.recipes.asking import ask_objects
from marmor.recipes.drawing import draw
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
    assert {row["images trained"] for row in rows} == {"256"}
    figures = json.loads((run / "summary.json").read_text())
    assert figures["judge.network"] == "small"
    told = " ".join((run / "table.txt").read_text().split())
    assert f"Read by {tiny_scene_judge} (small, 16×16)." in told
    assert "over the seeds of the noise" in told
    assert "all 3 of which hold together" in told
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
    rows = [study._row(variation, found, 1) for variation in found]
    # Alone, +0.105 ± 0.064 would be better.
    assert [row[-1] for row in rows] == ["the first", "not told apart", "not told apart"]
    found[better] = scores(0.301, 0.901)
    assert study._row(better, found, 1)[-1] == "better"
    # Two comparisons: Student's t of one degree of freedom at 1 − 0.025/2.
    reach = 25.4517 * 0.005
    assert rows[1][-2] == f"+0.105 ({0.105 - reach:+.3f} to {0.105 + reach:+.3f})"


def test_every_variation_can_be_trained_and_drawn(tiny_scenes: Path, tmp_path: Path) -> None:
    common = iclevr.ScenesSettings(data=str(tiny_scenes), size=16, steps=1, batch=2)
    for network in {variation.network for variation in study.VARIATIONS}:
        iclevr.train(replace(common, network=network, run=tmp_path / network))
    for variation in study.VARIATIONS:
        generator = study._generator(tmp_path / variation.network, variation)
        [drawn] = draw(generator, [ask_objects(generator, "red cube, blue sphere")], 0)
        assert drawn.image.shape == (3, 16, 16)


def test_variations_are_told_apart() -> None:
    questions = [variation.question for variation in study.VARIATIONS]
    assert all(questions.count(question) > 1 for question in questions)
    assert len({variation.file for variation in study.VARIATIONS}) == len(study.VARIATIONS)


def test_one_draw_has_no_interval(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--seeds must be at least 2"):
        study.study(StudySettings(data="none", run=tmp_path / "run", seeds=1))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"minutes": 0.0}, "--minutes must be a number above 0"),
        ({"size": 18}, "--size must be a multiple of 4, and"),
    ],
)
def test_wishes_that_cannot_be_leave_no_study(
    scenes: Path, tmp_path: Path, wishes: dict, said: str
) -> None:
    settings = replace(StudySettings(data=str(scenes), run=tmp_path / "run", size=16), **wishes)
    with pytest.raises(UserError, match=said):
        study.study(settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, r"new_test\.json does not exist"),
        ('[["red cub"]]', "unknown object"),
        (
            '[["red cube"], ["red cube", "blue cube", "gray cube", "cyan cube"]]',
            r"new_test\.json: picture 1 asks for 4 objects",
        ),
    ],
)
def test_lists_are_read_before_anything_is_trained(
    scenes: Path, tiny_scene_judge: Path, tmp_path: Path, text: str | None, said: str
) -> None:
    """The second list too, which would else be missed after hours."""
    if text is None:
        (scenes / "new_test.json").unlink()
    else:
        (scenes / "new_test.json").write_text(text)
    few = StudySettings(
        data=str(scenes), run=tmp_path / "run", size=16, steps=1, judge=str(tiny_scene_judge)
    )
    with pytest.raises(UserError, match=said):
        study.study(few)
    assert not (tmp_path / "run").exists()
