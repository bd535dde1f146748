"""Models that draw sets of objects: trained, asked by lists, scored."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from marmor.base.errors import UserError
from marmor.base.pixels import to_bytes
from marmor.cli import main
from marmor.data import SHOWS
from marmor.data.scenes import OBJECTS
from marmor.networks.object_judges import ObjectJudge
from marmor.recipes import drawing, iclevr, object_judging, scene_reporting, scene_scoring
from marmor.recipes.asking import ask_any_scenes, ask_objects, ask_scenes, asked
from marmor.recipes.designs import Drawing
from marmor.recipes.diffusing import Diffusion
from marmor.recipes.drawing import draw
from marmor.recipes.models import load_diffusion, load_generator
from marmor.recipes.object_judging import LoadedObjectJudge
from marmor.training import RunFolder


@pytest.fixture(scope="module")
def model(tiny_scene_model: Path) -> Path:
    return tiny_scene_model


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps([["red cube"], ["blue sphere", "gray cube"], ["red cube"]]))
    return path


def test_milestones_are_judged(model: Path) -> None:
    history = RunFolder(model).history()
    probed = [line for line in history if "objects.found" in line]
    assert [history[-1]["step"], probed[-1]["step"]] == [6, 6]
    assert all(0 <= line["objects.exact"] <= line["objects.found"] <= 1 for line in probed)


def test_milestones_are_drawn_as_the_finished_model_is(
    tiny_scenes: Path, tiny_scene_judge: Path, model: Path, tmp_path: Path, monkeypatch
) -> None:
    seen: list[Drawing] = []

    def spy(generator, asks, seed):
        seen.append(generator.drawing)
        return draw(generator, asks, seed)

    monkeypatch.setattr(iclevr, "draw", spy)
    words = ["--size", "16", "--steps", "1", "--batch", "4", "--judge", str(tiny_scene_judge)]
    main(["train", "iclevr", "--data", str(tiny_scenes), "--run", str(tmp_path / "run"), *words])
    finished = load_diffusion(str(model)).drawing
    assert {(d.guidance, d.guided_from) for d in seen} == {(4.0, 0.0)}
    assert (finished.guidance, finished.guided_from) == (4.0, 0.0)


def test_an_interrupted_run_goes_on_to_the_weights_of_a_whole_one(
    model: Path, tiny_scenes: Path, tiny_scene_judge: Path, interrupted, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = ["--size", "16", "--steps", "6", "--batch", "4", "--judge", str(tiny_scene_judge)]
    with interrupted(Diffusion, 3), pytest.raises((KeyboardInterrupt, SystemExit)):
        main(["train", "iclevr", "--data", str(tiny_scenes), "--run", str(run), *words])
    assert RunFolder(run).checkpoints.load().position["step"] < 6
    main(["resume", str(run)])
    assert RunFolder(run).history()[-1]["step"] == 6
    whole, again = (RunFolder(path).average_weights() for path in (model, run))
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def flat(folder: Path, name: str, colour: tuple[int, int, int], size: int = 16) -> None:
    """A picture of one colour."""
    folder.mkdir(exist_ok=True)
    Image.new("RGB", (size, size), colour).save(folder / name)


def test_an_object_that_is_asked_for_acts(tmp_path: Path) -> None:
    """Trained on red pictures of one object and blue ones of another, drawn from the same noises."""
    shows = {"red cube": (220, 30, 30), "blue sphere": (30, 30, 220)}
    named = {f"{k}.png": list(shows)[k % 2] for k in range(16)}
    for name, shown in named.items():
        flat(tmp_path, name, shows[shown])
    (tmp_path / "objects.json").write_text(json.dumps({"red cube": 0, "blue sphere": 1}))
    (tmp_path / "train.json").write_text(json.dumps({n: [shown] for n, shown in named.items()}))
    words = ["--size", "16", "--steps", "120", "--batch", "8", "--run", str(tmp_path / "run")]
    main(["train", "iclevr", "--data", str(tmp_path), *words])
    generator = load_generator(str(tmp_path / "run"))
    for name, sign in (("red cube", 1), ("blue sphere", -1)):
        [drawn] = draw(generator, [ask_objects(generator, name)], 0)
        red, _, blue = drawn.image.float().mean((1, 2)).tolist()
        assert sign * (red - blue) > 60


def test_a_list_is_drawn_in_its_order(model: Path, spec: Path, tmp_path: Path) -> None:
    main(["sample", str(model), "--spec", str(spec), "--out", str(tmp_path / "out")])
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["0.png", "1.png", "2.png"]
    with Image.open(tmp_path / "out" / "0.png") as image:
        assert image.size == (16, 16)
    assert (tmp_path / "out" / "0.png").read_bytes() != (tmp_path / "out" / "2.png").read_bytes()
    generator = load_generator(str(model))
    rows = torch.stack([ask.said[SHOWS] for ask in asked(generator, spec=spec)])
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
    spec.write_text(json.dumps([["red cube"]] * 9))
    sizes = []
    for columns in ([], ["--columns", "8"], ["--columns", "10"]):
        main(["grid", str(model), "--spec", str(spec), *columns, "--out", str(tmp_path / "g.png")])
        with Image.open(tmp_path / "g.png") as grid:
            sizes.append(grid.size)
    assert sizes[0] == sizes[1] != sizes[2]


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
    main(["score", str(model), *words, "--seeds", "3", "--guidance", "9", "--steps", "4"])
    otherwise = json.loads((tmp_path / "scores" / "summary.json").read_text())
    assert (figures["calls"], otherwise["calls"]) == (12, 4)
    assert otherwise["objects.extra"] != figures["objects.extra"]
    main(["sample", str(model), "--spec", str(spec), "--out", str(tmp_path / "drawn")])
    main(["score", str(tmp_path / "drawn"), *words])
    figures = json.loads((tmp_path / "scores" / "summary.json").read_text())
    assert 0 <= figures["objects.found"] <= 1
    assert figures["objects.extra.low"] <= figures["objects.extra"] <= figures["objects.extra.high"]


class Colours(ObjectJudge):
    """Finds the object whose place is a tenth of the red of a picture, and that of a tenth of the green."""

    objects = len(OBJECTS)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        places = (to_bytes(x[:, :2]).float().mean((2, 3)) / 10).round().long()
        # What red says is surer.
        return (
            torch.full((len(x), len(OBJECTS)), -9.0)
            .scatter(1, places.flip(1), 4.0)
            .scatter(1, places[:, :1], 9.0)
        )


def test_pictures_get_the_figures_that_follow_from_what_they_show(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    """Eleven, so that 10.png does not come after 1.png; some are larger than the judge reads."""
    judge = LoadedObjectJudge(Colours(), OBJECTS, "colours", side=16)
    monkeypatch.setattr(scene_scoring, "load_object_judge", lambda spec: judge)
    for k in range(11):
        size = 32 if k % 2 else 16
        flat(tmp_path / "drawn", f"{k}.png", (10 * k, 10 * (k + (k == 7)), 0), size)
    asked_for = [[OBJECTS[k + (k == 3)]] for k in range(11)]
    (tmp_path / "spec.json").write_text(json.dumps(asked_for))
    words = ["--spec", str(tmp_path / "spec.json"), "--judge", "colours", "--out", str(tmp_path)]
    main(["score", str(tmp_path / "drawn"), *words])
    figures = json.loads((tmp_path / "summary.json").read_text())
    # 3 asks for what 4 shows; 7 shows another object too.
    assert figures["objects.found"] == pytest.approx(10 / 11)
    assert figures["objects.exact"] == pytest.approx(9 / 11)
    assert figures["objects.extra"] == pytest.approx(2 / 11)
    deviation = (2 * (9 / 11) ** 2 + 9 * (2 / 11) ** 2) / 10
    reach = 2.228139 * (deviation / 11) ** 0.5
    assert figures["objects.extra.high"] == pytest.approx(2 / 11 + reach)
    assert [figures[key] for key in ("judge", "judge.network", "judge.side")] == [
        "colours",
        "Colours",
        16,
    ]
    told = " ".join(capsys.readouterr().out.split())
    assert "Read by colours (Colours, 16×16)." in told
    assert "note: Squashed, whole, from 2 different sizes to 16×16." in told


@pytest.mark.parametrize("wish", [["--seeds", "3"], ["--guidance", "2"]])
def test_wishes_of_a_model_are_not_for_finished_pictures(
    tiny_scene_judge: Path, spec: Path, tmp_path: Path, wish: list[str], fails
) -> None:
    words = ["score", str(tmp_path), "--judge", str(tiny_scene_judge), *wish]
    assert "is no model, and finished images" in fails(lambda: main([*words, "--spec", str(spec)]))
    assert "name it with --spec" in fails(lambda: main(words))


def test_two_pictures_of_one_number_are_told(
    tiny_scene_judge: Path, spec: Path, tmp_path: Path, fails
) -> None:
    for place in ("p", "q"):
        (tmp_path / "drawn" / place).mkdir(parents=True)
        for k in range(3):
            flat(tmp_path / "drawn" / place, f"{k}.png", (0, 0, 0))
    words = ["--spec", str(spec), "--judge", str(tiny_scene_judge)]
    said = fails(lambda: main(["score", str(tmp_path / "drawn"), *words]))
    assert "two pictures named 0.png, p/0.png and q/0.png; keep one" in said


def test_the_page_shows_every_list_and_what_a_judge_finds(
    model: Path, tiny_scene_judge: Path, monkeypatch
) -> None:
    monkeypatch.setattr(scene_reporting, "SEEDS", 2)
    main(["report", str(model), "--judge", str(tiny_scene_judge)])
    figures = json.loads((model / "summary.json").read_text())
    for name in ("test", "new_test"):
        key = f"{name}.objects.found"
        low, value, high = (figures[f"{key}{end}"] for end in (".low", "", ".high"))
        assert low <= value <= high
        assert f"{value:.4f} ({low:.4f} to {high:.4f})" in (model / "report.html").read_text()
        assert len(list((model / "samples" / name).glob("*.png"))) == 32
    pictures = {path.name for path in (model / "figures").glob("*.png")}
    assert {"grid-test.png", "grid-new_test.png", "process.png", "accuracy.png"} <= pictures
    page = (model / "report.html").read_text()
    assert "Drawn: new_test.json" in page
    assert figures["judge.network"] == "small"
    assert f"{tiny_scene_judge} (small, 16×16)" in page
    assert "red sphere, cyan cylinder, cyan cube" in page
    assert "scenes/test.json" in page  # the command that draws them names their list


def test_without_a_list_sets_are_drawn_at_random_and_kept(
    model: Path, tiny_scene_judge: Path, tmp_path: Path
) -> None:
    drawn, more = tmp_path / "drawn", tmp_path / "more"
    main(["sample", str(model), "--count", "6", "--out", str(drawn)])
    main(["sample", str(model), "--count", "9", "--seed", "1", "--out", str(more)])
    sets = json.loads((drawn / "asked.json").read_text())
    assert json.loads((more / "asked.json").read_text())[:6] == sets
    assert (drawn / "0.png").read_bytes() != (more / "0.png").read_bytes()
    assert len({tuple(names) for names in sets}) == 6
    many = ask_any_scenes(load_generator(str(model)), 60)
    assert {int(ask.said["objects"].sum()) for ask in many} == {1, 2, 3}
    # The list says what the pictures are: drawn by it they are the same, and they are scored by it.
    again = tmp_path / "again"
    main(["sample", str(model), "--spec", str(drawn / "asked.json"), "--out", str(again)])
    for number in range(6):
        name = f"{number}.png"
        assert (again / name).read_bytes() == (drawn / name).read_bytes()
    score = ["score", str(drawn), "--spec", str(drawn / "asked.json")]
    main([*score, "--judge", str(tiny_scene_judge), "--out", str(tmp_path / "scores")])
    assert (tmp_path / "scores" / "summary.json").is_file()
    main(["grid", str(model), "--out", str(tmp_path / "grid.png")])
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.width > 1.9 * grid.height  # 8 × 4


def test_what_cannot_be_asked(
    model: Path,
    tiny_scene_judge: Path,
    run: Path,
    spec: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator, classes = load_generator(str(model)), load_generator(str(run))
    with pytest.raises(UserError, match="draws sets of objects, which --spec lists; leave --cl"):
        asked(generator, classes="red cube", spec=spec)
    with pytest.raises(UserError, match="--spec says how many pictures there are; leave --count"):
        asked(generator, count=3, spec=spec)
    with pytest.raises(UserError, match="at least 1 image can be drawn, not 0"):
        asked(generator, count=0)
    with pytest.raises(UserError, match="draws no sets of objects; leave --spec out"):
        asked(classes, spec=spec)
    with pytest.raises(UserError, match=r"picture 1 asks for 4 objects; .* pictures of 3 at most"):
        ask_scenes(generator, [[0], [0, 1, 2, 3]])
    with pytest.raises(UserError, match=r"^--objects asks for 4 objects"):
        ask_objects(generator, "red cube, blue cube, gray cube, cyan cube")
    with pytest.raises(UserError, match=r"unknown object in --objects 'red cub'.*'red cube'"):
        ask_objects(generator, "blue sphere, red cub")
    monkeypatch.setattr(object_judging, "pretrained", dict)
    with pytest.raises(UserError, match="no judge knows these objects"):
        scene_scoring.score_scenes(str(model), spec, None, None)
    drawn = tmp_path / "drawn"
    main(["sample", str(model), "--spec", str(spec), "--out", str(drawn)])
    (drawn / "1.png").unlink()
    with pytest.raises(SystemExit, match="2"):
        main(["score", str(drawn), "--spec", str(spec), "--judge", str(tiny_scene_judge)])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sample", "--spec", "SPEC", "--classes", "1", "--out", "OUT"], "leave --classes out"),
        (["sample", "--spec", "SPEC", "--per-class", "2", "--out", "OUT"], "leave --per-class out"),
        (["sample", "--spec", "SPEC", "--domain", "a", "--out", "OUT"], "leave --domain out"),
        (["sample", "--spec", "SPEC", "--count", "2", "--out", "OUT"], "leave --count out"),
        (["score", "--spec", "SPEC", "--crop", "8", "--out", "OUT"], "leave --crop out"),
        (["score", "--spec", "SPEC", "--real", "digits", "--out", "OUT"], "leave --real out"),
        (["score", "--spec", "SPEC", "--split", "test", "--out", "OUT"], "leave --split out"),
        (["grid", "--spec", "SPEC", "--columns", "0", "--out", "OUT"], "must be at least 1, not 0"),
        (["strip", "--out", "OUT"], "name them with --objects"),
        (["strip", "--objects", "red cube", "--class", "1", "--out", "OUT"], "leave --class out"),
        (["strip", "--objects", "red cube", "--domain", "a", "--out", "OUT"], "leave --domain out"),
        (["eta-grid", "--out", "OUT"], "is also asked for objects"),
        (["interpolate", "--out", "OUT"], "is also asked for objects"),
    ],
)
def test_wishes_that_a_model_of_scenes_cannot_heed(
    model: Path, spec: Path, tmp_path: Path, words: list[str], said: str, fails, monkeypatch
) -> None:
    monkeypatch.setattr(drawing, "on_cores", None)  # each is told before anything is drawn
    places = {"SPEC": str(spec), "OUT": str(tmp_path / "out.png")}
    command, *others = (places.get(word, word) for word in words)
    assert said in fails(lambda: main([command, str(model), *others]))
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--network", "context-unet"], "knows one class an image"),
        (["--network", "report-unet", "--size", "24"], "multiples of 16, not 24"),
        (["--size", "18"], "--size must be a multiple of 4, and at least 16, not 18"),
        (["--size", "68"], "a multiple of 8, and at least 16, not 68"),
    ],
)
def test_what_cannot_be_trained_leaves_no_run(
    tiny_scenes: Path, tmp_path: Path, words: list[str], said: str, fails
) -> None:
    train = ["train", "iclevr", "--data", str(tiny_scenes), "--run", str(tmp_path / "run")]
    assert said in fails(lambda: main([*train, *words]))
    assert not (tmp_path / "run").exists()


def test_a_strip_of_classes_shows_one_image(run: Path, tmp_path: Path, fails) -> None:
    strip = ["strip", str(run), "--out", str(tmp_path / "s.png")]
    assert "leave --objects out" in fails(lambda: main([*strip, "--objects", "red cube"]))
    assert "names several" in fails(lambda: main([*strip, "--class", "left,right"]))
    assert not (tmp_path / "s.png").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[["red cub"]]', "unknown object"),
        ("[[]]", "one object or more"),
        ('[["red cube", "red cube"]]', "twice"),
        ('{"a": 1}', "must be a list of lists"),
        ("[", "JSON"),
        ("[" * 100_000, "too deeply"),
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
