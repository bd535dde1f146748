"""The whole way of personalization with photographs: crops, prior, steps, drawing, scores.

Tests of the path alone. In the first the networks are those of `marmor train` after one step, so nothing is
learned and no score means anything. The second takes real photographs: MARMOR_SUBJECTS is a folder of
`<name>/NN.jpg`; MARMOR_PIPELINE and MARMOR_CLIP may name others than the small ones that ship, which draw and
read 64 pixels and know coloured solids: there too no score means anything.
"""

import json
import math
import os
from pathlib import Path

import pytest
from PIL import Image

from marmor.cli import main
from marmor.data.packaged import packaged
from marmor.recipes import personal_reporting, tiny_text_to_image
from marmor.recipes.prompting import GenerateSettings

pytest.importorskip("diffusers")

SUBJECTS = {"cat": "chelsea.png", "cup": "coffee.png"}
SIDE = 64


@pytest.fixture
def subjects(tmp_path: Path) -> Path:
    """Folders of photographs of several shapes, as cameras give them."""
    pytest.importorskip("skimage")
    for name, file in SUBJECTS.items():
        (tmp_path / "subjects" / name).mkdir(parents=True)
        with Image.open(packaged("skimage", f"data/{file}")) as image:
            whole = image.convert("RGB")
        width, height = whole.size
        for number, box in enumerate(
            [
                (0, 0, width, height),
                (0, 0, height, height),
                (width // 4, 0, width // 2, height),
                (width // 4, height // 4, width, height // 2 + 80),
            ]
        ):
            whole.crop(box).save(tmp_path / "subjects" / name / f"{number}.jpg")
    return tmp_path / "subjects"


@pytest.fixture
def worlds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A pipeline and a CLIP of the small world's sizes, after one step."""
    monkeypatch.setattr(tiny_text_to_image, "SHEET_STEPS", 1)
    monkeypatch.setattr(tiny_text_to_image, "SHEET_COLUMNS", 1)
    said = ["--count", "12", "--size", str(SIDE), "--steps", "1", "--batch", "4"]
    for name in ("tiny-text-to-image", "tiny-clip"):
        main(["train", name, *said, "--run", str(tmp_path / name)])
    return tmp_path / "tiny-text-to-image" / "pipeline", tmp_path / "tiny-clip" / "clip"


def entry(names: list[str], words: list[str]) -> dict[str, object]:
    things = " next to ".join(f"a {word}" for word in words)
    plain = " next to ".join(f"a {name}" for name in names)
    return {
        "src_image": names,
        "token_name": words,
        "prompt": [things],
        "prompt_4_clip_eval": [plain],
        "baseline": [[0.0, -100.0]],
    }


@pytest.mark.slow
def test_photographs_go_the_whole_way(
    subjects: Path, worlds: tuple[Path, Path], tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("MARMOR_CACHE", str(tmp_path / "cache"))
    pipeline, clip = worlds
    words = {name: f"<{name}>" for name in SUBJECTS}
    taught = [
        part
        for name, word in words.items()
        for part in ("--concept", f"{word}={subjects / name}", "--word", "object")
    ]
    run = tmp_path / "run"
    prior = ["--prior-count", "2", "--prior-steps", "2"]
    budget = ["--steps", "2", "--pipeline", str(pipeline), "--run", str(run)]
    main(["personalize", "custom-diffusion", *taught, *prior, *budget])
    for name in SUBJECTS:
        drawn = sorted((run / "prior" / name).glob("*.png"))
        assert len(drawn) == 2
        with Image.open(drawn[0]) as image:
            assert image.size == (SIDE, SIDE)
    notes = json.loads((run / "config.json").read_text())["settings"]["data"]
    assert notes["count"] == 8
    assert notes["notes"]  # told that photos were cut or shrunk

    asked = tmp_path / "input.json"
    names = list(SUBJECTS)
    entries = {name: entry([name], [words[name]]) for name in names}
    entries["both"] = entry(names, list(words.values()))
    asked.write_text(json.dumps(entries))
    attention = [part for word in words.values() for part in ("--attention", word)]
    drawing = ["--input", str(asked), "--count", "5", "--steps", "2", *attention]
    folders = {"plain": tmp_path / "plain", "apart": tmp_path / "apart"}
    main(["generate", str(run), *drawing, "--out", str(folders["plain"])])
    main(["generate", str(run), *drawing, "--regional", "--out", str(folders["apart"])])
    judged = ["--input", str(asked), "--photos", str(subjects), "--model", str(clip)]
    main(["personalize", "score", *map(str, folders.values()), *judged, "--out", f"{tmp_path}/s"])
    told = json.loads((tmp_path / "s" / "summary.json").read_text())
    for name in folders:
        method = told["methods"][name]
        assert method["one concept"]["images"] == 10
        assert method["several together"]["images"] == 5
        assert -2 <= method["several together"]["leak"] <= 2
        assert [prompt["passed"] for prompt in method["prompts"]] == [True] * 3
    assert (tmp_path / "s" / "report.html").is_file()
    monkeypatch.setattr(
        personal_reporting, "GenerateSettings", lambda **asked: GenerateSettings(**asked, steps=2)
    )
    main(["report", str(run), "--per-class", "1"])
    assert (run / "figures" / "photos.png").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["textual-inversion", "custom-diffusion"])
def test_photographs_of_the_user_are_learned_drawn_and_scored(
    how: str, tmp_path: Path, monkeypatch
) -> None:
    given = os.environ.get("MARMOR_SUBJECTS")
    if given is None:
        pytest.skip("MARMOR_SUBJECTS names no photographs")
    monkeypatch.setenv("MARMOR_CACHE", str(tmp_path / "cache"))
    pipeline, clip = (
        os.environ.get(f"MARMOR_{name}", f"pretrained:{shipped}")
        for name, shipped in (("PIPELINE", "tiny-text-to-image"), ("CLIP", "tiny-clip"))
    )
    folders = sorted(path for path in Path(given).iterdir() if path.is_dir())[:2]
    words = [f"<new{number}>" for number in range(1, len(folders) + 1)]
    taught = [
        part
        for word, folder in zip(words, folders, strict=True)
        for part in ("--concept", f"{word}={folder}", "--word", "object")
    ]
    run, out = tmp_path / "run", tmp_path / "drawn"
    prior = ["--prior-count", "4", "--prior-steps", "10"] if how == "custom-diffusion" else []
    where = ["--pipeline", pipeline, "--run", str(run), "--steps", "20"]
    main(["personalize", how, *taught, *prior, *where])
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert all(math.isfinite(json.loads(line)["loss"]) for line in lines)
    photos = sum(len([*folder.glob("*.jpg")]) for folder in folders)
    assert json.loads((run / "config.json").read_text())["settings"]["data"]["count"] == photos

    asked, names = tmp_path / "input.json", [folder.name for folder in folders]
    entries = {name: entry([name], [word]) for name, word in zip(names, words, strict=True)}
    asked.write_text(json.dumps({**entries, "both": entry(names, words)}))
    attention = [part for word in words for part in ("--attention", word)]
    drawing = ["--input", str(asked), "--count", "5", "--steps", "10", *attention, "--regional"]
    main(["generate", str(run), *drawing, "--out", str(out)])
    drawn = [
        image.read_bytes() for image in out.rglob("source*.png") if "attention" not in str(image)
    ]
    assert len(set(drawn)) == 15
    judged = ["--input", str(asked), "--photos", given, "--model", clip]
    main(["personalize", "score", str(out), *judged, "--out", str(tmp_path / "scores")])
    told = json.loads((tmp_path / "scores" / "summary.json").read_text())["methods"]["drawn"]
    for group, pictures in (("one concept", 10), ("several together", 5)):
        assert told[group]["images"] == pictures
        assert -100 <= told[group]["image"] <= 100
    assert -2 <= told["several together"]["leak"] <= 2
