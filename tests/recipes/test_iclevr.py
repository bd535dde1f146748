"""Models that draw sets of objects: trained, asked by lists, scored."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from marmor.base.errors import UserError
from marmor.cli import main
from marmor.data import SHOWS
from marmor.recipes import scene_reporting, scene_scoring
from marmor.recipes.asking import ask_objects, ask_scenes, asked
from marmor.recipes.models import load_generator
from marmor.training import RunFolder


@pytest.fixture(scope="module")
def model(tiny_scene_model: Path) -> Path:
    return tiny_scene_model


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps([["red cube"], ["blue sphere", "gray cube"], ["red cube"]]))
    return path


def test_milestones_are_judged_and_a_run_goes_on(model: Path) -> None:
    probed = [line for line in RunFolder(model).history() if "objects.found" in line]
    assert probed
    assert all(0 <= line["objects.exact"] <= line["objects.found"] <= 1 for line in probed)
    main(["resume", str(model)])


def test_a_list_is_drawn_in_its_order(model: Path, spec: Path, tmp_path: Path) -> None:
    main(["sample", str(model), "--spec", str(spec), "--out", str(tmp_path / "out")])
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["0.png", "1.png", "2.png"]
    with Image.open(tmp_path / "out" / "0.png") as image:
        assert image.size == (16, 16)
    assert (tmp_path / "out" / "0.png").read_bytes() != (tmp_path / "out" / "2.png").read_bytes()
    generator = load_generator(str(model))
    rows = torch.stack([ask.said[SHOWS] for ask in asked(generator, 1, spec=spec)])
    named = [[generator.vocabulary[SHOWS][k] for k in row.nonzero().flatten()] for row in rows]
    assert [sorted(names) for names in named] == [
        ["red cube"],
        ["blue sphere", "gray cube"],
        ["red cube"],
    ]


def test_a_grid_and_a_strip_of_scenes(model: Path, spec: Path, tmp_path: Path) -> None:
    main(
        [
            "grid",
            str(model),
            "--spec",
            str(spec),
            "--columns",
            "2",
            "--out",
            str(tmp_path / "g.png"),
        ]
    )
    objects = ["--objects", "red sphere, cyan cylinder, cyan cube"]
    main(["strip", str(model), *objects, "--frames", "8", "--out", str(tmp_path / "s.png")])
    with Image.open(tmp_path / "g.png") as grid, Image.open(tmp_path / "s.png") as strip:
        assert grid.height > 16 * 2
        assert strip.width > 16 * 8


def test_a_model_is_scored_over_seeds_and_a_folder_once(
    model: Path, tiny_scene_judge: Path, spec: Path, tmp_path: Path
) -> None:
    words = [
        "--spec",
        str(spec),
        "--judge",
        str(tiny_scene_judge),
        "--out",
        str(tmp_path / "scores"),
    ]
    main(["score", str(model), *words, "--seeds", "3"])
    figures = json.loads((tmp_path / "scores" / "summary.json").read_text())
    assert figures["seeds"] == figures["pictures"] == 3
    for name in ("found", "exact", "extra"):
        key = f"objects.{name}"
        assert figures[f"{key}.low"] <= figures[key] <= figures[f"{key}.high"]
    main(["sample", str(model), "--spec", str(spec), "--out", str(tmp_path / "drawn")])
    main(["score", str(tmp_path / "drawn"), *words])
    assert 0 <= json.loads((tmp_path / "scores" / "summary.json").read_text())["objects.found"] <= 1


def test_the_page_shows_every_list_and_what_a_judge_finds(
    model: Path, tiny_scene_judge: Path, monkeypatch
) -> None:
    monkeypatch.setattr(scene_reporting, "SEEDS", 2)
    main(["report", str(model), "--judge", str(tiny_scene_judge)])
    figures = json.loads((model / "summary.json").read_text())
    for name in ("test", "new_test"):
        key = f"{name}.objects.found"
        assert figures[f"{key}.low"] <= figures[key] <= figures[f"{key}.high"]
        assert len(list((model / "samples" / name).glob("*.png"))) == 32
    pictures = {path.name for path in (model / "figures").glob("*.png")}
    assert {"grid-test.png", "grid-new_test.png", "process.png", "accuracy.png"} <= pictures
    page = (model / "report.html").read_text()
    assert "Drawn: new_test.json" in page
    assert "red sphere, cyan cylinder, cyan cube" in page
    assert "scenes/test.json" in page  # the command that draws them names their list


def test_what_cannot_be_asked(
    model: Path, tiny_scene_judge: Path, run: Path, spec: Path, tmp_path: Path
) -> None:
    generator, classes = load_generator(str(model)), load_generator(str(run))
    with pytest.raises(
        UserError, match="draws sets of objects; name a JSON list of them with --spec"
    ):
        asked(generator, 1)
    with pytest.raises(UserError, match="draws no sets of objects; leave --spec out"):
        asked(classes, 1, spec=spec)
    with pytest.raises(UserError, match="draws no sets of objects; leave --objects out"):
        ask_objects(classes, "red cube")
    with pytest.raises(UserError, match=r"asks for 4 objects; .* pictures of 3 at most"):
        ask_scenes(generator, [[0], [0, 1, 2, 3]])
    with pytest.raises(UserError, match=r"unknown object in --objects 'red cub'.*'red cube'"):
        ask_objects(generator, "blue sphere, red cub")
    with pytest.raises(UserError, match="no judge knows these objects"):
        scene_scoring.score_scenes(str(model), spec, None, 2, None)
    drawn = tmp_path / "drawn"
    main(["sample", str(model), "--spec", str(spec), "--out", str(drawn)])
    (drawn / "1.png").unlink()
    with pytest.raises(SystemExit, match="2"):
        main(["score", str(drawn), "--spec", str(spec), "--judge", str(tiny_scene_judge)])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[["red cub"]]', "unknown object"),
        ("[[]]", "one object or more"),
        ('[["red cube", "red cube"]]', "twice"),
        ('{"a": 1}', "must be a list of lists"),
        ("[", "JSON"),
    ],
)
def test_lists_that_cannot_be_read(
    model: Path, tmp_path: Path, text: str, said: str, capsys
) -> None:
    (tmp_path / "spec.json").write_text(text)
    with pytest.raises(SystemExit, match="2"):
        main(
            [
                "sample",
                str(model),
                "--spec",
                str(tmp_path / "spec.json"),
                "--out",
                str(tmp_path / "o"),
            ]
        )
    assert said in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
