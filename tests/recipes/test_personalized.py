"""Runs of `marmor personalize` and plain folders as pipelines, and as folders for others."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from marmor.base.errors import UserError
from marmor.cli import main
from marmor.recipes.bringing_in import bring_in
from marmor.recipes.learned import read_words
from marmor.recipes.merging_runs import merge_runs
from marmor.recipes.personalized import export, load_personalized
from marmor.training import RunFolder

peers = pytest.importorskip("diffusers")

Make = Callable[..., Path]
PROMPT = "a photo of a <art> next to a <cart>"


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_a_plain_folder_is_itself(pipeline_folder: Path, pipeline, draw) -> None:
    assert torch.equal(
        draw(load_personalized(pipeline_folder), "a red dog"), draw(pipeline, "a red dog")
    )


def test_what_is_neither_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is no pipeline: it has no model_index\.json"):
        load_personalized(tmp_path)


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


@pytest.mark.parametrize("ending", ["bin", "safetensors"])
def test_diffusers_finds_exported_words_in_their_folders(
    ending: str, make: Make, two, tmp_path: Path, pipeline, pipeline_folder: Path, draw
) -> None:
    run = make("one", {"<art>": normal(2, 32, seed=1)}, None)
    main(["personalize", "export", str(run), "--out", str(tmp_path / "out"), "--to", ending])
    pipeline.load_textual_inversion(str(tmp_path / "out"))
    prompt = "a photo of a <art>"
    assert torch.equal(draw(pipeline, prompt), draw(load_personalized(run), prompt))
    pipeline.unload_textual_inversion()
    both = merge_runs(two, tmp_path / "both").path
    export(both, tmp_path / "files", ending)
    places = [str(tmp_path / "files" / name) for name in ("art", "cart")]
    pipeline.load_textual_inversion(places)
    assert {"<art>", "<art>_1", "<cart>"} <= pipeline.tokenizer.get_vocab().keys()
    for folder, words in ((tmp_path / "out", ["<art>"]), (tmp_path / "files", ["<art>", "<cart>"])):
        again = bring_in([folder], pipeline_folder, tmp_path / f"again-{folder.name}")
        assert list(read_words(again)) == words


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
