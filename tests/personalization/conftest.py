"""Tiny random pipelines of diffusers, with a tokenizer of letters and a few words."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

peers = pytest.importorskip("diffusers")

WORDS = ("a", "photo", "of", "red", "dog", "next", "to")
CONTEXT = 32


@pytest.fixture(scope="session")
def pipeline_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A StableDiffusionPipeline with random weights, 16 pixels, as diffusers saves it."""
    from transformers import CLIPTextConfig, CLIPTextModel

    folder = tmp_path_factory.mktemp("pipelines") / "tiny"
    tokenizer = _tokenizer(tmp_path_factory.mktemp("words"))
    torch.manual_seed(0)
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=CONTEXT,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    # As drawn at first all sentences would say nearly the same.
    for parameter in text.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    unet = peers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 16),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=2,
        cross_attention_dim=32,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    autoencoder = peers.AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=16,
    )
    scheduler = peers.DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    parts = {"vae": autoencoder, "text_encoder": text, "tokenizer": tokenizer, "unet": unet}
    peers.StableDiffusionPipeline(
        **parts,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


@pytest.fixture
def pipeline(pipeline_folder: Path) -> Any:
    """The tiny pipeline, read anew for each test."""
    pipeline = peers.StableDiffusionPipeline.from_pretrained(pipeline_folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture
def draw() -> Callable[[Any, str], torch.Tensor]:
    """What a pipeline draws for a prompt, float (3, 16, 16), always from the same noise."""

    def drawn(pipeline: Any, prompt: str) -> torch.Tensor:
        noise = torch.Generator().manual_seed(3)
        images = pipeline(prompt, num_inference_steps=3, generator=noise, output_type="pt").images
        return images[0]

    return drawn


def _tokenizer(folder: Path) -> Any:
    """A CLIPTokenizer that knows letters and WORDS."""
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters)]
    merges = []
    for word in WORDS:
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        while len(pieces) > 1:
            merges.append(f"{pieces[0]} {pieces[1]}")
            pieces[:2] = ["".join(pieces[:2])]
            vocabulary.append(pieces[0])
    vocabulary += ["<|startoftext|>", "<|endoftext|>"]
    numbers = {token: number for number, token in enumerate(dict.fromkeys(vocabulary))}
    (folder / "vocab.json").write_text(json.dumps(numbers))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *dict.fromkeys(merges), ""]))
    return CLIPTokenizer.from_pretrained(folder, model_max_length=CONTEXT)
