"""LoRA, held against diffusers' own reader."""

from pathlib import Path

import pytest
import torch

from marmor.base.errors import UserError
from marmor.personalization.chosen import ChosenWeights
from marmor.personalization.low_rank import add_low_rank, read_low_rank, write_low_rank

peers = pytest.importorskip("diffusers")
pytest.importorskip("peft")

PROMPT = "a photo of a red dog"


def trained(pipeline, where="all") -> ChosenWeights:
    """Low-rank weights that change something."""
    weights = ChosenWeights(pipeline.unet, add_low_rank(pipeline.unet, 2, where, seed=0))
    stream = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for values in weights.parameters():
            values.add_(0.3 * torch.randn(values.shape, generator=stream))
    return weights


def test_nothing_changes_before_training(pipeline, draw) -> None:
    before = draw(pipeline, PROMPT)
    names = add_low_rank(pipeline.unet, 2, "all", seed=0)
    assert torch.equal(draw(pipeline, PROMPT), before)
    own = dict(pipeline.unet.named_parameters())
    assert len(names) == 2 * 4 * len(pipeline.unet.attn_processors)
    assert {min(own[name].shape) for name in names} == {2}


def test_cross_attention_alone_where_it_is_asked_for_and_the_same_for_the_same_seed(
    pipeline, pipeline_folder: Path
) -> None:
    names = add_low_rank(pipeline.unet, 2, "cross", seed=3)
    assert names
    assert all(".attn2." in name for name in names)
    again = peers.UNet2DConditionModel.from_pretrained(pipeline_folder, subfolder="unet")
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    add_low_rank(again, 2, "cross", seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    mine, theirs = dict(pipeline.unet.named_parameters()), dict(again.named_parameters())
    assert all(torch.equal(mine[name], theirs[name]) for name in names)


def test_diffusers_loads_what_is_written_and_draws_the_same_image(
    pipeline, pipeline_folder: Path, tmp_path: Path, draw
) -> None:
    before = draw(pipeline, PROMPT)
    weights = trained(pipeline)
    write_low_rank(tmp_path / "pytorch_lora_weights.safetensors", weights.named())
    weights.write(pipeline.unet)
    theirs = peers.StableDiffusionPipeline.from_pretrained(pipeline_folder)
    theirs.set_progress_bar_config(disable=True)
    theirs.load_lora_weights(str(tmp_path))
    assert torch.equal(draw(theirs, PROMPT), draw(pipeline, PROMPT))
    assert not torch.equal(draw(theirs, PROMPT), before)
    found = read_low_rank(tmp_path / "pytorch_lora_weights.safetensors")
    assert len(found) == len(weights.names)


def test_what_is_no_lora_is_one_sentence(pipeline, tmp_path: Path) -> None:
    for held in ({}, {"unet.to_q.weight": torch.zeros(1)}, {"unet.lora_A.weight": 3}, [1]):
        torch.save(held, tmp_path / "file.bin")
        with pytest.raises(UserError, match="should hold weights of LoRA"):
            read_low_rank(tmp_path / "file.bin")
    with pytest.raises(UserError, match="no attention"):
        add_low_rank(pipeline.vae, 2, "cross", seed=0)
