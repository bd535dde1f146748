"""`marmor generate` on a tiny random pipeline and on a run that learned two words."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from marmor.cli import main
from marmor.data import read_picture
from marmor.personalization import latents_of
from marmor.recipes import generating
from marmor.recipes.learned import told, write_words
from marmor.recipes.personalized import load_personalized
from marmor.recipes.prompting import SOLVERS
from marmor.recipes.textual_inversion import RECIPE
from marmor.recipes.tiny_parts import sampling_scheduler
from marmor.training import RunFolder

BOTH = "a <new1> next to a <new2>"


@pytest.fixture(scope="module")
def learned(pipeline_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two words, the first of two vectors, as training leaves it."""
    path = tmp_path_factory.mktemp("runs") / "words"
    words = ["<new1>", "<new2>"]
    run = RunFolder.create(path, RECIPE, told(pipeline_folder, words))
    stream = torch.Generator().manual_seed(0)
    rows = [torch.randn(vectors, 32, generator=stream) for vectors in (2, 1)]
    write_words(run, dict(zip(words, rows, strict=True)))
    return path


@pytest.fixture
def generate(learned: Path, tmp_path: Path) -> Callable[..., Path]:
    def run(*words: object, out: str = "out", model: Path = learned) -> Path:
        few = [] if "--count" in words else ["--count", "2"]
        main(
            [
                "generate",
                str(model),
                *map(str, words),
                *few,
                "--steps",
                "3",
                "--out",
                str(tmp_path / out),
            ]
        )
        return tmp_path / out

    return run


def pictures(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


def test_pictures_follow_from_seed_prompt_and_number_alone(generate) -> None:
    first = generate("--prompt", BOTH, "--prompt", "a dog", out="first")
    names = {f"{folder}/{k}.png" for folder in ("a-new1-next-to-a-new2", "a-dog") for k in (0, 1)}
    assert set(pictures(first)) == {*names, "overview.png"}
    assert read_picture(first / "a-dog" / "0.png").shape == (3, 16, 16)
    more = generate("--prompt", "a dog", "--count", "3", out="more")
    assert pictures(more / "a-dog").items() >= pictures(first / "a-dog").items()
    assert len(set(pictures(more / "a-dog").values())) == 3
    other = generate("--prompt", "a dog", "--seed", "1", out="other")
    assert not set(pictures(other / "a-dog").values()) & set(pictures(first / "a-dog").values())


def test_a_plain_folder_draws_what_diffusers_draws(generate, pipeline_folder, pipeline) -> None:
    from marmor.base.seeds import torch_stream

    out = generate("--prompt", "a red dog", model=pipeline_folder)
    for k in (0, 1):
        stream = torch_stream(0, "generate", "a red dog", k)
        told = {"num_inference_steps": 3, "generator": stream, "output_type": "pt"}
        wanted = (pipeline("a red dog", **told).images[0] * 255).round()
        assert (read_picture(out / "a-red-dog" / f"{k}.png").float() - wanted).abs().max() <= 1


def test_pictures_that_are_there_are_kept(generate, monkeypatch, capsys) -> None:
    straight = pictures(generate("--prompt", BOTH, "--count", "3", out="straight"))
    out = generate("--prompt", BOTH, "--count", "3", out="stopped")
    folder = out / "a-new1-next-to-a-new2"
    (folder / "1.png").unlink()
    numbers = []
    whole = generating._picture
    monkeypatch.setattr(
        generating,
        "_picture",
        lambda *args: (numbers.append(args[3].number), whole(*args))[1],
    )
    again = generate("--prompt", BOTH, "--count", "3", out="stopped")
    assert numbers == [1]
    assert "2 of 3 pictures are there already" in capsys.readouterr().out
    assert pictures(again) == straight
    generate("--prompt", BOTH, "--count", "3", "--attention", "<new1>", out="stopped")
    assert numbers == [1, 0, 1, 2]
    assert pictures(folder) == {Path(k).name: v for k, v in straight.items() if "/" in k}


def test_an_interruption_keeps_what_was_drawn(generate, monkeypatch, tmp_path) -> None:
    straight = pictures(generate("--prompt", "a dog", out="straight"))
    whole = generating._picture

    def stop(*args):
        if args[3].number == 1:
            raise KeyboardInterrupt
        return whole(*args)

    with monkeypatch.context() as patch:
        patch.setattr(generating, "_picture", stop)
        with pytest.raises(SystemExit):
            generate("--prompt", "a dog", out="stopped")
    assert set(pictures(tmp_path / "stopped")) == {"a-dog/0.png"}
    assert pictures(generate("--prompt", "a dog", out="stopped")) == straight


def test_attention_is_kept_for_programs_and_for_people(generate) -> None:
    plain = generate("--prompt", BOTH, "--prompt", "a <new2>", out="plain")
    words = ("--attention", "<new1>", "--attention", "<new2>")
    out = generate("--prompt", BOTH, "--prompt", "a <new2>", *words, out="seen")
    for folder, said in (("a-new1-next-to-a-new2", {"<new1>", "<new2>"}), ("a-new2", {"<new2>"})):
        assert pictures(plain / folder) == pictures(out / folder)
        for k in (0, 1):
            maps = load_file(out / "attention" / folder / f"{k}.safetensors")
            assert set(maps) == said
            assert all(each.shape == (8, 8) and (each > 0).all() for each in maps.values())
            shown = Image.open(out / "attention" / folder / f"{k}.png")
            assert shown.width > shown.height
    one = load_file(out / "attention" / "a-new2" / "0.safetensors")["<new2>"]
    two = load_file(out / "attention" / "a-new2" / "1.safetensors")["<new2>"]
    assert not torch.allclose(one, two)


def test_pictures_on_several_cores_do_not_meet(generate, monkeypatch) -> None:
    words = ("--prompt", BOTH, "--solver", "dpm-solver++", "--count", "4", "--attention", "<new1>")
    alone = generate(*words, out="alone")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    together = generate(*words, out="together")
    assert pictures(alone) == pictures(together)
    maps = "attention/a-new1-next-to-a-new2/3.safetensors"
    assert (alone / maps).read_bytes() == (together / maps).read_bytes()


def test_no_solver_clips_latents(pipeline) -> None:
    pipeline.scheduler = sampling_scheduler()
    for name in SOLVERS:
        assert not getattr(generating._scheduler(pipeline, name).config, "clip_sample", False)


def test_regional_prompts_are_drawn_in_columns(generate) -> None:
    plain = generate("--prompt", BOTH, "--prompt", "a <new1>", out="plain")
    out = generate(
        "--prompt", BOTH, "--prompt", "a <new1>", "--regional", "--attention", "<new1>", out="apart"
    )
    assert pictures(plain / "a-new1") == pictures(out / "a-new1")
    folder = "a-new1-next-to-a-new2"
    assert not set(pictures(plain / folder).values()) & set(pictures(out / folder).values())
    seen = load_file(out / "attention" / folder / "0.safetensors")["<new1>"]
    assert (seen[:, :4] > 0).all()
    assert not seen[:, 4:].any()
    told = json.loads((out / "generate.json").read_text())["prompts"]
    assert told[folder]["regions"][1] == [[0.5, 0.0, 1.0, 1.0], "a <new2>"]
    assert told["a-new1"] == {"prompt": "a <new1>"}


def test_around_regions_stands_what_most_pictures_show(
    generate, pipeline, tmp_path: Path, monkeypatch, capsys
) -> None:
    places = tmp_path / "one", tmp_path / "other"
    for place in places:
        place.mkdir()
    table = torch.full((16, 16, 3), 90, dtype=torch.uint8)
    for number in range(5):  # each pixel is hidden in one picture at most
        picture = table.clone()
        picture[3 * number : 3 * number + 3, 4:9] = 200
        Image.fromarray(picture.numpy()).save(places[number % 2] / f"{number}.png")
    seen = []
    whole = generating.denoise

    def watched(*asked):
        seen.append(asked[5].latents)
        return whole(*asked)

    monkeypatch.setattr(generating, "denoise", watched)
    said = ("--prompt", BOTH, "--regional")
    plain = generate(*said, out="plain")
    out = generate(*said, "--around", str(places[0]), "--around", str(places[1]), out="around")
    wanted = latents_of(pipeline, torch.full((1, 3, 16, 16), 90 / 127.5 - 1))
    assert len(seen) == 4
    for latents in seen[2:]:
        torch.testing.assert_close(latents, wanted.expand(2, -1, -1, -1), atol=1e-5, rtol=0)
    assert not torch.allclose(seen[0], seen[1])  # plain colours are drawn for each picture
    folder = "a-new1-next-to-a-new2"
    assert not set(pictures(plain / folder).values()) & set(pictures(out / folder).values())
    for number in (2, 4):
        Image.fromarray((table // 2).numpy()).save(places[0] / f"{number}.png")
    with pytest.raises(SystemExit):
        generate(*said, "--around", str(places[1]), out="few")
    assert "--around names 2 pictures" in capsys.readouterr().err
    for other in (("--around", str(places[0])), ()):
        with pytest.raises(SystemExit):
            generate(*said, *other, out="around")
        assert f"drawn otherwise ({folder}" in " ".join(capsys.readouterr().err.split())


def test_regions_of_the_same_prompt_change_nothing_visible(generate) -> None:
    plain = generate("--prompt", "a dog", out="plain")
    same = ("--region", "left=a dog", "--region", "0.5,0,1,0.5=a dog", "--apart", "0")
    out = generate("--prompt", "a dog", *same, out="regions")
    for k in (0, 1):
        one, other = (read_picture(each / "a-dog" / f"{k}.png").float() for each in (plain, out))
        assert (one - other).abs().max() <= 1


def entries(**changes: object) -> dict[str, object]:
    both = {"src_image": ["one", "two"], "token_name": ["<new1>", "<new2>"], "prompt": BOTH}
    one = {
        "src_image": "dog",
        "token_name": "<new1>",
        "prompt": ["a red <new1>", "a photo of a <new1>"],
        "prompt_4_clip_eval": ["a red dog", "a photo of a dog"],
        "baseline": [[75, 30], [70, 30]],
    }
    return {"0": one | changes, "12": both}


def write(tmp_path: Path, held: object) -> Path:
    path = tmp_path / "input.json"
    path.write_text(json.dumps(held))
    return path


def test_the_courses_layout(generate, tmp_path: Path) -> None:
    out = generate("--input", write(tmp_path, entries()))
    assert {name for name in pictures(out) if "/" in name} == {
        f"{entry}/{j}/source{entry}_prompt{j}_{k}.png"
        for entry, j in (("0", 0), ("0", 1), ("12", 0))
        for k in (0, 1)
    }


def test_prompts_that_look_alike_get_folders_of_their_own(generate) -> None:
    out = generate("--prompt", "a dog", "--prompt", "A dog!", "--prompt", "<>", "--count", "1")
    folders = [path.name for path in out.iterdir() if path.is_dir()]
    assert len(folders) == 3
    assert "a-dog" in folders


WRONG = [
    ((), "say what to draw"),
    (("--prompt", "a dog", "--input", "x.json"), "say what to draw"),
    (("--prompt", " "), "--prompt is empty"),
    (("--prompt", "a dog", "--count", "0"), "--count must be at least 1"),
    (("--prompt", "a dog", "--guidance", "nan"), "--guidance must be a number"),
    (("--prompt", "a dog", "--apart", "2"), "--apart is a share"),
    (("--prompt", "a dog", "--around", "photos"), "--around is what regions see; add --regional"),
    (("--prompt", BOTH, "--regional", "--around", "nowhere"), "nowhere"),
    (("--prompt", "a dog", "--solver", "dim"), "did you mean 'ddim'"),
    (
        ("--prompt", "a <new3>"),
        "does not know <new3> of the prompt 'a <new3>'; it has learned <new1>",
    ),
    (("--prompt", "dog " * 40), "is 42 tokens long, and the pipeline reads 32"),
    (("--prompt", "a dog", "--attention", "red"), "no prompt says this word"),
    (("--prompt", "a dog", "--region", "left"), "should be a place and its prompt"),
    (("--prompt", "a dog", "--region", "lft=a dog"), "did you mean 'left'"),
    (("--prompt", "a dog", "--region", "0,0,2,1=a dog"), "shares of the sides that rise"),
    (("--prompt", "a dog", "--region", "left=a <new3>"), "does not know <new3>"),
    (("--prompt", "a dog", "--region", "left=a dog", "--regional"), "for columns of all prompts"),
    (("--input", "nowhere.json"), "nowhere.json does not exist"),
]


@pytest.mark.parametrize(("words", "wrong"), WRONG)
def test_wishes_that_cannot_be_are_one_sentence(words, wrong, generate, tmp_path, fails) -> None:
    assert wrong in fails(lambda: generate(*words))
    assert not (tmp_path / "out").exists()


LISTS = [
    ([], "should hold settings by name"),
    ({}, "has no entries"),
    ({"0": 3}, "entry '0' should hold"),
    (entries(prompt=[]), "has no prompt"),
    (entries(prompt=[3]), "prompt should be a text, or a list of texts"),
    (entries(token_name=["<new1>", "<new2>"]), "has 1 src_image for 2"),
    (entries(prompt_4_clip_eval="a dog"), "has 1 prompt_4_clip_eval for 2"),
    (entries(baseline=[75, 30]), "baseline should be a pair"),
    ({"../0": entries()["0"]}, "must be a plain name"),
    ({"..": entries()["0"]}, "must be a plain name"),
]


@pytest.mark.parametrize(("held", "wrong"), LISTS)
def test_lists_that_mean_nothing_are_one_sentence(held, wrong, generate, tmp_path, fails) -> None:
    assert wrong in fails(lambda: generate("--input", write(tmp_path, held)))
    assert not (tmp_path / "out").exists()


def test_pictures_that_were_drawn_otherwise_are_left_alone(generate, tmp_path, fails) -> None:
    out = generate("--prompt", BOTH, "--count", "1")
    before = pictures(out)
    for words, wrong in (
        (("--seed", "1"), "(seed: 0, now 1)"),
        (("--guidance", "3"), "(guidance: 7.5, now 3.0)"),
        (("--regional",), "drawn otherwise (a-new1-next-to-a-new2:"),
    ):
        assert wrong in fails(lambda w=words: generate("--prompt", BOTH, *w))
    assert pictures(out) == before
    generate("--prompt", "a dog", "--count", "1")
    assert set(json.loads((out / "generate.json").read_text())["prompts"]) == {
        "a-new1-next-to-a-new2",
        "a-dog",
    }


def test_a_scheduler_that_draws_otherwise_is_told(
    generate, pipeline_folder, tmp_path, fails
) -> None:
    folder = RunFolder.create(tmp_path / "tiny", "tiny-text-to-image", {}).path / "pipeline"
    shutil.copytree(pipeline_folder, folder)
    generate("--prompt", "a dog", model=tmp_path / "tiny")  # a run is read as its pipeline
    generate("--prompt", "a dog", model=folder)
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace("0.012", "0.013"))
    wrong = fails(lambda: generate("--prompt", "a dog", model=folder))
    assert "drawn otherwise (scheduler: " in wrong


def test_runs_that_have_not_learned_yet_are_told(learned, tmp_path, fails, generate) -> None:
    held = RunFolder.open(learned).config["settings"]
    RunFolder.create(tmp_path / "begun", RECIPE, held)
    call = lambda: generate("--prompt", "a dog", model=tmp_path / "begun")  # noqa: E731
    assert "learned_embeds.safetensors yet; go on with the run (marmor resume" in fails(call)
    call = lambda: generate("--prompt", "a dog", model=tmp_path / "nowhere")  # noqa: E731
    assert "nowhere" in fails(call)


def test_a_run_draws_with_all_of_its_vectors(learned: Path) -> None:
    pipeline = load_personalized(learned)
    assert (
        pipeline.maybe_convert_prompt("<new1> <new2>", pipeline.tokenizer)
        == "<new1> <new1>_1 <new2>"
    )
