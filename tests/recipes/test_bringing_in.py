"""`marmor personalize import`: files of others, and what was exported."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from marmor.base.errors import UserError
from marmor.cli import main
from marmor.personalization import (
    ChosenWeights,
    add_low_rank,
    write_embedding,
    write_low_rank,
)
from marmor.recipes.bringing_in import bring_in
from marmor.recipes.learned import read_words
from marmor.recipes.merging_runs import merge_runs
from marmor.recipes.personalized import export, load_personalized

peers = pytest.importorskip("diffusers")

Make = Callable[..., Path]
PROMPT = "a photo of a <art> next to a <cart>"


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("to", ["bin", "safetensors"])
def test_exported_files_are_those_of_diffusers_and_come_back(
    to, two, tmp_path: Path, pipeline_folder: Path, pipeline, draw
) -> None:
    run = merge_runs(two, tmp_path / "both").path
    mine = draw(load_personalized(run), PROMPT)
    out = tmp_path / "files"
    export(run, out, to)
    weights = f"pytorch_custom_diffusion_weights.{to}"
    files = {f"{name}.{to}" for name in ("<art>", "<cart>")}
    assert {path.name for path in out.iterdir()} == {*files, "art", "cart", weights}
    pipeline.unet.load_attn_procs(str(out), weight_name=weights, _pipeline=pipeline)
    for word in ("<art>", "<cart>"):
        pipeline.load_textual_inversion(str(out), weight_name=f"{word}.{to}")
    assert torch.allclose(draw(pipeline, PROMPT), mine, atol=1e-4)
    back = tmp_path / "back"
    words = ["--pipeline", str(pipeline_folder), "--run", str(back)]
    main(["personalize", "import", str(out), *words])
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


def test_a_lora_of_the_text_encoder_alone_is_folded_in(
    pipeline, pipeline_folder: Path, tmp_path: Path, draw
) -> None:
    pytest.importorskip("peft")
    before = draw(pipeline, "a red dog")
    encoder = dict(pipeline.text_encoder.named_parameters())
    layer = next(n for n in encoder if n.endswith("layers.0.self_attn.q_proj.weight"))
    name = f"text_encoder.{layer.removesuffix('.weight')}"
    weights = {
        f"{name}.lora_{m}.weight": normal(*s, seed=1) for m, s in (("A", (2, 32)), ("B", (32, 2)))
    }
    torch.save(weights, tmp_path / "theirs.bin")
    run = bring_in([tmp_path / "theirs.bin"], pipeline_folder, tmp_path / "run").path
    drawn = draw(load_personalized(run), "a red dog")
    assert not torch.allclose(drawn, before, atol=1e-4)
    export(run, tmp_path / "whole")
    whole = load_personalized(tmp_path / "whole")
    assert not any("lora" in name for name in whole.text_encoder.state_dict())
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
    there = f"down_blocks.1.attentions.0.transformer_blocks.0{key[3:]}"
    # A single row would be copied to all rows by torch.
    for name, shape, wrong in ((key, (4, 4), "has no mid.attn2"), (there, (1, 32), "not .1, 32.")):
        torch.save({name: torch.zeros(shape)}, loose / "wide.bin")
        with pytest.raises(UserError, match=wrong):
            bring_in([loose], pipeline_folder, tmp_path / "run")
    write_embedding(tmp_path / "art.bin", "<art>", normal(2, 32, seed=5))
    with pytest.raises(UserError, match="<art>, which another file holds with other vectors"):
        bring_in([two[0], tmp_path / "art.bin"], pipeline_folder, loose)
    with pytest.raises(UserError, match="weights of the same kind"):
        bring_in(two, pipeline_folder, tmp_path / "run")
    torch.save({"unet.nothing.lora_A.weight": torch.zeros(2, 2)}, loose / "wide.bin")
    with pytest.raises(UserError, match="cannot be read by diffusers"):
        bring_in([loose], pipeline_folder, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    write_embedding(loose / "wide.bin", "<..>", normal(1, 32, seed=0))
    with pytest.raises(UserError, match="outside its folder"):
        bring_in([loose], pipeline_folder, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    write_embedding(loose / "wide.bin", "style", normal(1, 32, seed=0))
    write_embedding(loose / "other.bin", "<flora>", normal(1, 32, seed=1))
    run = bring_in([loose], pipeline_folder, tmp_path / "run")
    assert "is called '<style>' here" in capsys.readouterr().out
    assert set(read_words(run)) == {"<flora>", "<style>"}
