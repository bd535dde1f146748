"""`marmor personalize merge`, `import` and `export`, and runs as pipelines."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from marmor.base.errors import UserError
from marmor.cli import main
from marmor.personalization import (
    ChosenWeights,
    add_low_rank,
    projection_names,
    read_projections,
    write_embedding,
    write_low_rank,
    write_projections,
)
from marmor.recipes.bringing_in import bring_in
from marmor.recipes.learned import LOW_RANK, PROJECTIONS, read_words, told, write_words
from marmor.recipes.merging_runs import merge_runs
from marmor.recipes.personalized import export, load_personalized
from marmor.training import RunFolder

peers = pytest.importorskip("diffusers")

Make = Callable[..., Path]
PROMPT = "a photo of a <art> next to a <cart>"


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def moved(unet: Any, seed: int) -> dict[str, Tensor]:
    own = dict(unet.named_parameters())
    names = projection_names(unet)
    return {
        n: own[n].detach() + 0.2 * normal(*own[n].shape, seed=seed + i) for i, n in enumerate(names)
    }


@pytest.fixture
def make(pipeline: Any, pipeline_folder: Path, tmp_path: Path) -> Make:
    """A finished run of custom-diffusion, as if it had been trained."""

    def made(
        name: str, words: dict[str, Tensor], seed: int | None, folder: Path = pipeline_folder
    ) -> Path:
        files = [] if seed is None else [PROJECTIONS]
        config = {"asked": {}, **told(folder, list(words), files)}
        run = RunFolder.create(tmp_path / name, "custom-diffusion", config)
        write_words(run, words)
        if seed is not None:
            write_projections(run.path / PROJECTIONS, pipeline.unet, moved(pipeline.unet, seed))
        return run.path

    return made


@pytest.fixture
def two(make: Make) -> tuple[Path, Path]:
    """Runs whose names hold each other; one word has two vectors."""
    first = make("first", {"<art>": normal(2, 32, seed=1)}, 10)
    return first, make("second", {"<cart>": normal(1, 32, seed=2)}, 50)


def of_word(pipeline: Any, text: str, pieces: list[str]) -> Tensor:
    """The states (V, D) of a sentence at the vectors of a word."""
    ids = pipeline.tokenizer(text)["input_ids"]
    own = pipeline.tokenizer.convert_tokens_to_ids(pieces)
    with torch.no_grad():
        states = pipeline.text_encoder(torch.tensor([ids]))[0][0]
    return states[[ids.index(token) for token in own]]


def test_merged_projections_answer_each_word_as_its_own_run_does(
    two: tuple[Path, Path], tmp_path: Path, pipeline
) -> None:
    main(["personalize", "merge", *map(str, two), "--run", str(tmp_path / "both")])
    both = load_personalized(tmp_path / "both")
    found = dict(both.unet.named_parameters())
    spelled = (
        ("a photo of a <art> <art>_1", ["<art>", "<art>_1"]),
        ("a photo of a <cart>", ["<cart>"]),
    )
    own = dict(pipeline.unet.named_parameters())
    for run, other, (text, pieces) in zip(two, reversed(two), spelled, strict=True):
        features = of_word(both, text, pieces)
        theirs, others = (read_projections(each / PROJECTIONS) for each in (run, other))
        for name, weight in theirs.items():
            assert torch.allclose(features @ found[name].T, features @ weight.T, atol=1e-4)
            assert not torch.allclose(features @ found[name].T, features @ others[name].T, atol=0.1)
            assert not torch.equal(found[name], own[name])
    words = read_words(RunFolder.open(tmp_path / "both"))
    for run in two:
        for name, vectors in read_words(RunFolder.open(run)).items():
            assert torch.equal(words[name], vectors)
    summary = json.loads((tmp_path / "both" / "summary.json").read_text())
    assert summary["constraints"] == summary["rank"] == 5
    assert 0 < summary["residual"]["largest"] < 1e-5
    assert summary["residual"]["by_layer"].keys() == set(projection_names(pipeline.unet))
    assert summary["words"]["<art>"]["vectors"] == 2
    main(["resume", str(tmp_path / "both")])


def test_the_order_of_runs_changes_nothing_but_rounding(two, tmp_path: Path) -> None:
    weights = [
        read_projections(merge_runs(runs, tmp_path / name).path / PROJECTIONS)
        for name, runs in (("ab", two), ("ba", two[::-1]))
    ]
    assert all(torch.allclose(weights[0][n], weights[1][n], atol=1e-5) for n in weights[0])


def test_ordinary_captions_are_answered_more_as_before_than_a_single_run_does(
    two, tmp_path: Path, pipeline
) -> None:
    captions = tmp_path / "captions.txt"
    captions.write_text("a red dog\n\nthe dog of a photo\n")
    made = merge_runs(two, tmp_path / "both", captions=captions)
    merged, alone = (
        read_projections(made.path / PROJECTIONS),
        read_projections(two[0] / PROJECTIONS),
    )
    features = of_word(pipeline, "a red dog", ["red</w>", "dog</w>"])
    own = dict(pipeline.unet.named_parameters())
    for name, weight in merged.items():
        lost, before = ((w - own[name]) @ features.T for w in (weight, alone[name]))
        assert lost.norm() < 0.01 * before.norm()
    assert json.loads((made.path / "summary.json").read_text())["ridge"] > 0


def test_words_alone_leave_the_projections_as_they_are(make: Make, tmp_path, pipeline) -> None:
    runs = [make(name, {f"<{name}>": normal(1, 32, seed=n)}, None) for n, name in enumerate("ab")]
    merged = merge_runs(runs, tmp_path / "both")
    own = dict(pipeline.unet.named_parameters())
    weights = read_projections(merged.path / PROJECTIONS)
    assert all(torch.equal(weights[name], own[name]) for name in weights)


def test_runs_that_contradict_each_other_are_told(make: Make, tmp_path: Path, capsys) -> None:
    same = normal(1, 32, seed=1)
    runs = [make(name, {f"<{name}>": same}, seed) for name, seed in (("a", 10), ("b", 50))]
    made = merge_runs(runs, tmp_path / "both")
    assert "contradict each other" in capsys.readouterr().out
    summary = json.loads((made.path / "summary.json").read_text())
    assert summary["rank"] < summary["constraints"]
    assert summary["residual"]["largest"] > 0.01


def test_runs_that_cannot_be_merged_are_one_sentence(
    two, make: Make, pipeline, pipeline_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "other"
    shutil.copytree(pipeline_folder, folder)
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace("0.012", "0.013"))
    other = make("elsewhere", {"<new>": normal(1, 32, seed=3)}, 5, folder)
    namesake = make("namesake", {"<Art>": normal(1, 32, seed=3)}, 5)
    started = make("started", {"<new>": normal(1, 32, seed=3)}, 5)
    (started / PROJECTIONS).unlink()
    plain = make("low-rank", {}, 5)
    config = json.loads((plain / "config.json").read_text())
    config["settings"]["learned"]["files"] = [LOW_RANK]
    (plain / "config.json").write_text(json.dumps(config))
    weights = ChosenWeights(pipeline.unet, add_low_rank(pipeline.unet, 2, "all", 0))
    write_low_rank(plain / LOW_RANK, weights.named())
    first = two[0]
    wrong = [
        ((first,), "two runs or more"),
        ((first, other), "learned on different pipelines"),
        ((first, namesake), "both have the word <Art>"),
        ((first, first), "both have the word <art>"),
        ((first, started), "has no pytorch_custom_diffusion_weights"),
        ((first, plain), "learned low-rank weights"),
        ((first, tmp_path), "not a run folder"),
    ]
    for runs, message in wrong:
        with pytest.raises(UserError, match=message):
            merge_runs(runs, tmp_path / "out")
    with pytest.raises(UserError, match=r"should hold \{\}"):
        merge_runs(two, tmp_path / "out", ["a photo"])
    for captions in ("nowhere.txt", "empty.txt"):
        (tmp_path / "empty.txt").write_text("\n")
        with pytest.raises(UserError, match=r"captions|cannot be read"):
            merge_runs(two, tmp_path / "out", captions=tmp_path / captions)
    assert not (tmp_path / "out").exists()


def test_a_pipeline_with_all_folded_in_draws_the_same_image(
    two, tmp_path: Path, pipeline_folder: Path, draw
) -> None:
    run = merge_runs(two, tmp_path / "both").path
    mine = draw(load_personalized(run), PROMPT)
    main(["personalize", "export", str(run), "--out", str(tmp_path / "whole")])
    theirs = peers.StableDiffusionPipeline.from_pretrained(tmp_path / "whole")
    theirs.set_progress_bar_config(disable=True)
    assert torch.equal(draw(theirs, PROMPT), mine)
    assert torch.equal(draw(load_personalized(tmp_path / "whole"), PROMPT), mine)
    assert not torch.equal(draw(load_personalized(pipeline_folder), PROMPT), mine)
    with pytest.raises(UserError, match="not empty; choose another --out"):
        export(run, tmp_path / "whole")
    assert not list(tmp_path.glob(".whole*"))


@pytest.mark.parametrize("to", ["bin", "safetensors"])
def test_exported_files_are_those_of_diffusers_and_come_back(
    to, two, tmp_path: Path, pipeline_folder: Path, pipeline, draw
) -> None:
    run = merge_runs(two, tmp_path / "both").path
    mine = draw(load_personalized(run), PROMPT)
    out = tmp_path / "files"
    export(run, out, to)
    weights = f"pytorch_custom_diffusion_weights.{to}"
    assert {path.name for path in out.iterdir()} == {f"<art>.{to}", f"<cart>.{to}", weights}
    pipeline.unet.load_attn_procs(str(out), weight_name=weights, _pipeline=pipeline)
    for word in ("<art>", "<cart>"):
        pipeline.load_textual_inversion(str(out), weight_name=f"{word}.{to}")
    assert torch.allclose(draw(pipeline, PROMPT), mine, atol=1e-4)
    back = bring_in([out], pipeline_folder, tmp_path / "back").path
    assert torch.equal(draw(load_personalized(back), PROMPT), mine)
    again = bring_in([run], pipeline_folder, tmp_path / "again").path
    assert torch.equal(draw(load_personalized(again), PROMPT), mine)


def test_lora_comes_in_and_goes_out_in_every_form(
    pipeline, pipeline_folder: Path, tmp_path: Path, draw
) -> None:
    pytest.importorskip("peft")
    weights = ChosenWeights(pipeline.unet, add_low_rank(pipeline.unet, 2, "all", 0))
    with torch.no_grad():
        for number, values in enumerate(weights.parameters()):
            values.add_(0.3 * normal(*values.shape, seed=number))
    weights.write(pipeline.unet)
    drawn = draw(pipeline, "a red dog")
    write_low_rank(tmp_path / "theirs.safetensors", weights.named())
    run = bring_in([tmp_path / "theirs.safetensors"], pipeline_folder, tmp_path / "run").path
    assert torch.equal(draw(load_personalized(run), "a red dog"), drawn)
    export(run, tmp_path / "bin", "bin")
    again = bring_in([tmp_path / "bin"], pipeline_folder, tmp_path / "again").path
    assert torch.equal(draw(load_personalized(again), "a red dog"), drawn)
    export(run, tmp_path / "whole")
    whole = load_personalized(tmp_path / "whole")
    assert not any("lora" in name for name in whole.unet.state_dict())
    assert torch.allclose(draw(whole, "a red dog"), drawn, atol=1e-4)


def test_files_that_do_not_fit_are_one_sentence(
    two, pipeline_folder: Path, tmp_path: Path, capsys
) -> None:
    loose = tmp_path / "loose"
    loose.mkdir()
    with pytest.raises(UserError, match=r"loose holds no \.safetensors"):
        bring_in([loose], pipeline_folder, tmp_path / "run")
    write_embedding(loose / "wide.bin", "<wide>", normal(1, 16, seed=0))
    with pytest.raises(UserError, match="vectors of 32 numbers"):
        bring_in([loose], pipeline_folder, tmp_path / "run")
    key = "mid.attn2.processor.to_k_custom_diffusion.weight"
    for name, shape in (
        (key, (4, 4)),
        (f"down_blocks.1.attentions.0.transformer_blocks.0{key[3:]}", (4, 4)),
    ):
        torch.save({name: torch.zeros(shape)}, loose / "wide.bin")
        with pytest.raises(UserError, match="made for another U-Net"):
            bring_in([loose], pipeline_folder, tmp_path / "run")
    with pytest.raises(UserError, match="holds the word <art>, which another file holds too"):
        bring_in(
            [two[0], two[0] / "embeddings" / "art" / "learned_embeds.safetensors"],
            pipeline_folder,
            loose,
        )
    with pytest.raises(UserError, match="weights of the same kind"):
        bring_in(two, pipeline_folder, tmp_path / "run")
    torch.save({"unet.nothing.lora_A.weight": torch.zeros(2, 2)}, loose / "wide.bin")
    with pytest.raises(UserError):
        bring_in([loose], pipeline_folder, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    write_embedding(loose / "wide.bin", "style", normal(1, 32, seed=0))
    run = bring_in([loose], pipeline_folder, tmp_path / "run")
    assert "is called '<style>' here" in capsys.readouterr().out
    assert list(read_words(run)) == ["<style>"]


def test_a_crafted_name_stays_in_its_folder(make: Make, pipeline_folder: Path, tmp_path) -> None:
    run = make("run", {}, None)
    config = json.loads((run / "config.json").read_text())
    config["settings"]["learned"]["words"] = ["<../../../x>"]
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="outside its folder"):
        load_personalized(run)


def test_unloading_leaves_no_word_behind(make: Make, pipeline, pipeline_folder, draw) -> None:
    run = make("run", {"<art>": normal(2, 32, seed=1), "<cart>": normal(1, 32, seed=2)}, None)
    known, before = len(pipeline.tokenizer), draw(pipeline, PROMPT)
    loaded = load_personalized(run)
    assert len(loaded.tokenizer) == known + 3
    assert not torch.equal(draw(loaded, PROMPT), before)
    loaded.unload_textual_inversion()
    assert len(loaded.tokenizer) == known
    assert torch.equal(draw(loaded, PROMPT), before)
    assert torch.equal(draw(load_personalized(pipeline_folder), PROMPT), before)


def test_runs_of_other_recipes_and_earlier_versions_are_told(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "digits", "digits", {})
    with pytest.raises(UserError, match="a run of the recipe 'digits'"):
        load_personalized(tmp_path / "digits")
    RunFolder.create(tmp_path / "old", "textual-inversion", {"asked": {}})
    with pytest.raises(UserError, match="of an earlier version"):
        load_personalized(tmp_path / "old")
