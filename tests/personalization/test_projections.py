"""Files of Custom Diffusion, held against diffusers' own reader and writer."""

from pathlib import Path

import pytest
import torch

from marmor.base.errors import UserError
from marmor.personalization.chosen import put_in
from marmor.personalization.projections import (
    is_projection,
    projection_names,
    read_projections,
    write_projections,
)

peers = pytest.importorskip("diffusers")

NAMES = ("pytorch_custom_diffusion_weights.safetensors", "pytorch_custom_diffusion_weights.bin")
PROMPT = "a photo of a red dog"


def moved(unet) -> dict[str, torch.Tensor]:
    """All projections, well away from where they were."""
    stream = torch.Generator().manual_seed(5)
    own = dict(unet.named_parameters())
    return {
        name: own[name].detach() + 0.3 * torch.randn(own[name].shape, generator=stream)
        for name in projection_names(unet)
    }


def test_projections_are_keys_and_values_of_cross_attention(pipeline) -> None:
    names = projection_names(pipeline.unet)
    layers = [name for name in pipeline.unet.attn_processors if "attn2" in name]
    assert len(names) == 2 * len(layers) > 0
    width = pipeline.unet.config.cross_attention_dim
    own = dict(pipeline.unet.named_parameters())
    assert all(own[name].shape[1] == width and is_projection(name) for name in names)
    with pytest.raises(UserError, match="no cross-attention"):
        projection_names(torch.nn.Linear(2, 2))


@pytest.mark.parametrize("name", NAMES)
def test_diffusers_loads_what_is_written_and_draws_the_same_image(
    name: str, pipeline, pipeline_folder: Path, tmp_path: Path, draw
) -> None:
    before = draw(pipeline, PROMPT)
    weights = moved(pipeline.unet)
    write_projections(tmp_path / name, pipeline.unet, weights)
    theirs = peers.StableDiffusionPipeline.from_pretrained(pipeline_folder)
    theirs.set_progress_bar_config(disable=True)
    # Without the pipeline this version of diffusers reads the file and leaves the network as it was.
    theirs.unet.load_attn_procs(str(tmp_path), weight_name=name, _pipeline=theirs)
    put_in(pipeline.unet, weights)
    mine = draw(pipeline, PROMPT)
    # Its attention is written out and not fused: the same up to rounding.
    assert torch.allclose(draw(theirs, PROMPT), mine, atol=1e-4)
    assert (mine - before).abs().max() > 0.01


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_read_back(name: str, pipeline, tmp_path: Path) -> None:
    weights = moved(pipeline.unet)
    write_projections(tmp_path / name, pipeline.unet, weights)
    found = read_projections(tmp_path / name)
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[key], weights[key]) for key in weights)


@pytest.mark.parametrize("queries", [False, True])
def test_files_of_their_training_script_are_read(
    queries: bool, pipeline, pipeline_folder: Path, tmp_path: Path, draw
) -> None:
    from diffusers.models.attention_processor import CustomDiffusionAttnProcessor

    theirs = peers.StableDiffusionPipeline.from_pretrained(pipeline_folder)
    theirs.set_progress_bar_config(disable=True)
    torch.manual_seed(1)
    processors = {}
    for name in theirs.unet.attn_processors:
        query = theirs.unet.get_submodule(name.removesuffix(".processor")).to_q
        cross = "attn2" in name
        how = {"train_kv": cross, "train_q_out": cross and queries}
        width = {"hidden_size": query.out_features, "cross_attention_dim": 32 if cross else None}
        processors[name] = CustomDiffusionAttnProcessor(**how, **width)
    theirs.unet.set_attn_processor(processors)
    theirs.unet.save_attn_procs(tmp_path, safe_serialization=False)
    put_in(pipeline.unet, read_projections(tmp_path / NAMES[1]))
    assert torch.allclose(draw(pipeline, PROMPT), draw(theirs, PROMPT), atol=1e-4)


KEY = "mid.attn2.processor.to_k_custom_diffusion.weight"
WRONG = [
    {},
    [1, 2],
    {"mid.attn1.processor": {}},
    {"mid.attn2.to_k.weight": torch.zeros(2, 2)},
    {KEY: torch.zeros(2, 2, dtype=torch.int64)},
    {KEY: [1.0]},
    {KEY: torch.zeros(2, 2), "<new1>": torch.zeros(3)},
    {KEY: 1.0},
]


@pytest.mark.parametrize("held", WRONG)
def test_what_is_no_custom_diffusion_is_one_sentence(held, tmp_path: Path) -> None:
    torch.save(held, tmp_path / "file.bin")
    with pytest.raises(UserError, match="should hold weights of attention by the names"):
        read_projections(tmp_path / "file.bin")


def test_other_endings_are_refused(pipeline, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"should end in \.safetensors or \.bin"):
        write_projections(tmp_path / "weights.npz", pipeline.unet, {})
