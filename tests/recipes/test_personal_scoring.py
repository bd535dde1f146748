"""`marmor personalize score` with a CLIP that sees colours, so that every score is known."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from marmor.cli import main
from marmor.language import Clip, Facts, Sight
from marmor.recipes import text_image
from marmor.recipes.object_judging import swapped
from marmor.recipes.personal_judging import cut_out

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
SCALE = 20.0
SIDE = 16


class Colours(Clip):
    """Pictures are their mean colour; sentences the colours that they name."""

    facts = Facts("colours", "none", SCALE, 0.0, 40, Sight(SIDE, True, True, (0, 0, 0), (1, 1, 1)))

    def embed_images(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))

    def embed_texts(self, sentences: Sequence[str]) -> Tensor:
        return torch.tensor([[float(c in s) for c in ("red", "green", "blue")] for s in sentences])

    def lengths(self, sentences: Sequence[str]) -> list[int]:
        return [len(sentence.split()) for sentence in sentences]


@pytest.fixture(autouse=True)
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MARMOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(text_image, "load", lambda wishes: Colours())
    path = tmp_path / "clip.pt"
    path.write_bytes(b"weights")
    return path


def picture(path: Path, left: tuple[int, int, int], right: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (32, 32), left)
    image.paste(right, (16, 0, 32, 32))
    image.save(path)


def attention(path: Path, left: str, right: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    maps = {word: torch.full((8, 8), 0.1) for word in (left, right)}
    maps[left][2:6, :4] = 0.9
    maps[right][2:6, 4:] = 0.9
    save_file(maps, path)


ENTRIES: dict[str, Any] = {
    "0": {
        "src_image": "apple",
        "token_name": "<new1>",
        "prompt": ["a <new1>", "a green <new1>"],
        "prompt_4_clip_eval": ["a red thing", "a green thing"],
        "baseline": [[98, 19], [98, 19]],
    },
    "both": {
        "src_image": ["apple", "sky"],
        "token_name": ["<new1>", "<new2>"],
        "prompt": "a <new1> next to a <new2>",
        "prompt_4_clip_eval": "red and blue",
    },
}


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """An input.json with its photos."""
    for number in range(3):
        picture(tmp_path / "apple" / f"{number}.png", RED, RED)
        picture(tmp_path / "sky" / f"{number}.png", BLUE, BLUE)
    path = tmp_path / "input.json"
    path.write_text(json.dumps(ENTRIES))
    return path


@pytest.fixture
def drawn(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str = "drawn", mixed: int = 0, maps: bool = True) -> Path:
        """Six pictures a prompt: half of the first are green; the last ``mixed`` of both are swapped."""
        out = tmp_path / name
        for k in range(6):
            picture(out / "0" / "0" / f"source0_prompt0_{k}.png", RED, RED if k else GREEN)
            picture(out / "0" / "1" / f"source0_prompt1_{k}.png", RED, GREEN)
            file = f"sourceboth_prompt0_{k}"
            picture(out / "both" / "0" / f"{file}.png", RED, BLUE)
            words = ("<new1>", "<new2>")
            if maps:
                order = words if k < 6 - mixed else words[::-1]
                attention(out / "attention" / "both" / "0" / f"{file}.safetensors", *order)
        return out

    return make


def score(*words: object, clip: Path, asked: Path, out: Path) -> dict[str, Any]:
    given = ["--model", clip, "--input", asked, "--out", out]
    main(["personalize", "score", *map(str, (*words, *given))])
    return json.loads((out / "summary.json").read_text())


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_scores_are_cosines_and_logits(clip, asked, drawn, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    found = score(drawn(), clip=clip, asked=asked, out=out)
    images = {row["image_name"]: row for row in rows(out / "images.csv")}
    half = 0.5**0.5
    for name, image, text in (
        ("source0_prompt0_0.png", 100 * half, SCALE * half),
        ("source0_prompt0_1.png", 100, SCALE),
        ("source0_prompt1_0.png", 100 * half, SCALE * half),
        ("sourceboth_prompt0_3.png", 100 * half, SCALE),
    ):
        assert float(images[name]["image"]) == pytest.approx(image, abs=0.05)
        assert float(images[name]["text"]) == pytest.approx(text, abs=0.05)
        assert float(images[name]["total"]) == pytest.approx(image + 2.5 * text, abs=0.2)
    first, second, both = found["methods"]["drawn"]["prompts"]
    assert first["best"] == [f"source0_prompt0_{k}.png" for k in range(1, 6)]
    assert images["source0_prompt0_0.png"]["best"] == "false"
    assert [p["passed"] for p in (first, second, both)] == [True, False, None]
    group = found["methods"]["drawn"]["one concept"]
    assert group["images"] == 12
    assert group["image"] == pytest.approx((5 * 100 + 7 * 100 * half) / 12, abs=0.05)
    lost = 100 * (1 - half)  # within the first prompt alone: once in six
    spread = (lost**2 * 5 / 6 / 10 / 12) ** 0.5
    assert group["image"] - group["image.low"] == pytest.approx(2.2281 * spread, abs=0.05)
    assert group["image.high"] - group["image"] == pytest.approx(2.2281 * spread, abs=0.05)
    assert "leak" not in group
    said = capsys.readouterr().out
    assert "1 of 2 prompts reach their baseline" in said
    assert "drawn has 6 pictures a prompt; the course's rule is the best 5 of 25" in said
    assert {path.name for path in (out / "figures").iterdir()} == {"best-drawn.png", "measures.png"}
    assert "<new1> next to" not in (out / "report.html").read_text()  # escaped
    assert len(rows(out / "prompts.csv")) == 3


def test_what_leaks_is_seen_where_each_word_is_looked_at(clip, asked, drawn, tmp_path) -> None:
    clean, mixed = drawn("clean"), drawn("mixed", mixed=2)
    found = score(clean, f"other={mixed}", clip=clip, asked=asked, out=tmp_path / "out")
    pure = found["methods"]["clean"]["several together"]
    assert pure["leak"] == pytest.approx(-1)
    assert pure["told_apart"] == 1
    assert found["leak.photos"] == {"both": pytest.approx(-1)}
    other = found["methods"]["other"]["several together"]
    assert other["leak"] == pytest.approx(-1 / 3)
    assert other["told_apart"] == pytest.approx(4 / 6)
    assert other["told_apart.low"] < 4 / 6 < other["told_apart.high"]
    apart = found["differences"]["other"]["several together"]
    assert apart["leak"] == pytest.approx(2 / 3)
    assert apart["image"] == 0
    table = rows(tmp_path / "out" / "table.csv")
    assert [(row["method"], row["prompts of"]) for row in table] == [
        (name, kind) for name in ("clean", "other") for kind in ("one concept", "several together")
    ]
    assert table[1]["leak"] == "-1.000 (-1.000 to -1.000)"
    assert table[0]["leak"] == table[1]["both present"] == "–"


def test_without_maps_no_leak_is_known(clip, asked, drawn, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    found = score(drawn(maps=False), clip=clip, asked=asked, out=out)
    assert "leak" not in found["methods"]["drawn"]["several together"]
    assert "draw with --attention for each word" in capsys.readouterr().out


def test_a_judge_of_scenes_finds_the_objects(
    clip, asked, drawn, tmp_path, tiny_scene_judge, monkeypatch
) -> None:
    from marmor.recipes.object_judging import LoadedObjectJudge

    def read(judge: LoadedObjectJudge, images: Tensor, objects: Sequence[str]) -> Tensor:
        if objects == ("red sphere", "blue cube"):
            return torch.tensor([[0.9, 0.9], [0.1, 0.6], *[[0.4, 0.1]] * 4])
        assert objects == ("red cube", "blue sphere")
        return torch.tensor([[0.9, 0.9], [0.9, 0.1], [0.1, 0.9], *[[0.6, 0.5]] * 3])

    monkeypatch.setattr(LoadedObjectJudge, "read", read)
    both = ENTRIES["both"] | {"objects": ["red cube", "blue sphere"]}
    asked.write_text(json.dumps(ENTRIES | {"both": both}))
    words = (drawn(), "--judge", tiny_scene_judge)
    found = score(*words, clip=clip, asked=asked, out=tmp_path / "out")
    assert found["methods"]["drawn"]["several together"]["present"] == pytest.approx(4 / 6)
    assert found["methods"]["drawn"]["several together"]["swapped"] == pytest.approx(2 / 6)
    assert 0 < found["methods"]["drawn"]["several together"]["swapped.low"] < 2 / 6
    assert not {"present", "swapped"} & found["methods"]["drawn"]["one concept"].keys()
    table = rows(tmp_path / "out" / "table.csv")
    assert [row["swapped"][:6] for row in table] == ["–", "33.3 %"]
    last = [row["swapped"] for row in rows(tmp_path / "out" / "images.csv")][-6:]
    assert last == ["true", "true", *["false"] * 4]


def test_what_is_swapped_is_a_colour_of_one_with_the_shape_of_another() -> None:
    assert swapped(("red cube", "blue ring")) == ("red ring", "blue cube")
    assert swapped(("red cube", "blue cube")) == swapped(("red cube",)) == ()
    assert swapped(("dog", "red cube")) == ()


def test_a_judge_without_objects_is_told(
    clip, asked, drawn, tmp_path, tiny_scene_judge, capsys
) -> None:
    words = (drawn(), "--judge", tiny_scene_judge)
    score(*words, clip=clip, asked=asked, out=tmp_path / "out")
    assert "says objects, so the judge" in " ".join(capsys.readouterr().out.split())


def test_unknown_objects_are_told_before_anything_is_embedded(
    clip, asked, drawn, tmp_path, tiny_scene_judge, monkeypatch, fails
) -> None:
    monkeypatch.setattr(text_image.TextImage, "embed_images", None)
    both = ENTRIES["both"] | {"objects": ["red cube", "pink cloud"]}
    asked.write_text(json.dumps(ENTRIES | {"both": both}))
    words = (drawn(), "--judge", tiny_scene_judge)
    said = fails(lambda: score(*words, clip=clip, asked=asked, out=tmp_path / "out"))
    assert "does not know pink cloud" in said


def test_photos_in_a_folder_called_like_an_embedded_set(
    clip, asked, drawn, tmp_path, monkeypatch
) -> None:
    (tmp_path / "apple").rename(tmp_path / "faces")
    asked.write_text(json.dumps({"0": ENTRIES["0"] | {"src_image": "faces"}}))
    monkeypatch.chdir(tmp_path)
    found = score(drawn(), clip=clip, asked=Path("input.json"), out=tmp_path / "out")
    assert found["methods"]["drawn"]["prompts"][0]["best.image"] == pytest.approx(100)


def test_the_courses_folders_of_photos(clip, asked, drawn, tmp_path) -> None:
    held = {"0": ENTRIES["0"] | {"src_image": "a dog of mine"}}
    asked.write_text(json.dumps(held))
    (tmp_path / "apple").rename(tmp_path / "photos-of-apples")
    (tmp_path / "course").mkdir()
    (tmp_path / "photos-of-apples").rename(tmp_path / "course" / "0")
    words = (drawn(), "--photos", tmp_path / "course")
    found = score(*words, clip=clip, asked=asked, out=tmp_path / "out")
    assert found["methods"]["drawn"]["prompts"][0]["best.image"] == pytest.approx(100)


def test_crops_stay_inside_and_are_not_too_small() -> None:
    image = torch.arange(32 * 32).reshape(1, 32, 32).remainder(251).to(torch.uint8)
    weights = torch.zeros(8, 8)
    weights[0, 0] = 1
    assert torch.equal(cut_out(image, weights, 8), image[:, :8, :8])
    weights = torch.zeros(8, 8)
    weights[2:6, 4:8] = 1
    assert torch.equal(cut_out(image, weights, 16), image[:, 8:24, 16:32])
    wide = torch.zeros(8, 8)
    wide[4, :] = 1
    assert torch.equal(cut_out(image, wide, 32), image)


def test_what_cannot_be_judged_is_one_sentence(clip, asked, drawn, tmp_path, fails) -> None:
    folder, out = drawn(), tmp_path / "out"

    def wrong(*words: object, held: dict[str, Any] | None = None, model: Path = clip) -> str:
        asked.write_text(json.dumps(held or ENTRIES))
        return fails(lambda: score(*words, clip=model, asked=asked, out=out))

    one = {"0": ENTRIES["0"]}
    bare = {key: value for key, value in ENTRIES["0"].items() if key != "prompt_4_clip_eval"}
    with pytest.MonkeyPatch.context() as patch:
        # Long work must not come first.
        patch.setattr(text_image.TextImage, "embed_images", lambda *asked: pytest.fail("embedded"))
        told = fails(lambda: score(folder, clip=clip, asked=asked, out=asked))
    assert "cannot be a folder" in told
    assert "has no prompt_4_clip_eval" in wrong(folder, held={"0": bare})
    assert "is no folder" in wrong(tmp_path / "nowhere")
    assert "two folders would be called 'drawn'" in wrong(folder, f"drawn={folder}")
    assert "has no pictures 7/0" in wrong(folder, held={"7": ENTRIES["0"]})
    assert "has no photos pear or 0" in wrong(
        folder, held={"0": ENTRIES["0"] | {"src_image": "pear"}}
    )
    outside = {"0": ENTRIES["0"] | {"src_image": "../apple"}}
    assert "points outside its folder" in wrong(folder, held=outside)
    assert "does not exist" in wrong(folder, model=tmp_path / "none")
    for k in range(2, 6):
        (folder / "0" / "1" / f"source0_prompt1_{k}.png").unlink()
    assert "holds 2 pictures; the best 5 are chosen" in wrong(folder, held=one)
    assert not out.exists()
