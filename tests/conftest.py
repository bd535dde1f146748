"""What all tests share."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

# On small tensors one thread is faster than several, much faster on a busy machine.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests leave the cache of whoever runs them alone, and owe it nothing."""
    os.environ["MARMOR_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def plain_unet() -> Callable[[dict[str, Tensor], Tensor, Tensor], Tensor]:
    """(state dict, x, steps) → output, by the formulas alone: what marmor's U-Net is held against."""
    return _plain_unet


def _plain_unet(state: dict[str, Tensor], x: Tensor, step: Tensor) -> Tensor:
    """DDPM's U-Net written plainly: no modules, the order of stages read off the names."""

    def conv(name: str, x: Tensor, **how) -> Tensor:
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **how)

    def linear(name: str, x: Tensor) -> Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(name: str, x: Tensor) -> Tensor:
        grouped = x.reshape(len(x), 32, -1)
        mean, variance = grouped.mean(2, keepdim=True), grouped.var(2, keepdim=True, correction=0)
        normal = ((grouped - mean) / (variance + 1e-5).sqrt()).reshape(x.shape)
        scale, shift = state[f"{name}.weight"], state[f"{name}.bias"]
        return normal * scale[:, None, None] + shift[:, None, None]

    def silu(x: Tensor) -> Tensor:
        return x / (1 + torch.exp(-x))

    def stage(name: str, x: Tensor) -> Tensor:
        block = f"{name}.resblocks"
        h = conv(f"{block}.conv1", silu(norm(f"{block}.norm1", x)), padding=1)
        h = h + linear(f"{block}.time.1", silu(embedding))[:, :, None, None]
        h = conv(f"{block}.conv2", silu(norm(f"{block}.norm2", h)), padding=1)
        x = h + (conv(f"{block}.skip", x) if f"{block}.skip.weight" in state else x)
        if f"{name}.attention.qkv.weight" not in state:
            return x
        flat = conv(f"{name}.attention.qkv", norm(f"{name}.attention.norm", x)).flatten(2)
        query, key, value = flat.chunk(3, dim=1)
        logits = torch.einsum("bcq,bck->bqk", query, key) / math.sqrt(query.shape[1])
        h = torch.einsum("bqk,bck->bcq", logits.softmax(-1), value)
        return x + conv(f"{name}.attention.out", h.reshape(x.shape))

    size = state["time.1.weight"].shape[1]
    frequencies = torch.exp(-math.log(10000) * 2 * torch.arange(size // 2) / size)
    angles = step[:, None] * frequencies
    embedding = torch.cat([torch.sin(angles), torch.cos(angles)], dim=1)
    embedding = linear("time.3", silu(linear("time.1", embedding)))

    kept = [conv("down1", x, padding=1)]
    index = 2
    while any(name.startswith(f"down{index}.") for name in state):
        residual = f"down{index}.resblocks.conv1.weight" in state
        last = kept[-1]
        kept.append(
            stage(f"down{index}", last)
            if residual
            else conv(f"down{index}.0", last, stride=2, padding=1)
        )
        index += 1
    x = stage("mid2", stage("mid1", kept[-1]))
    index = 1
    while any(name.startswith(f"up{index}.") for name in state):
        if f"up{index}.resblocks.conv1.weight" in state:
            x = stage(f"up{index}", torch.cat([x, kept.pop()], dim=1))
        else:
            wide = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
            x = conv(f"up{index}.1", wide, padding=1)
        index += 1
    return conv("out.2", silu(norm("out.0", x)), padding=1)


@pytest.fixture(scope="session")
def inception(tmp_path_factory: pytest.TempPathFactory) -> nn.Module:
    """torch-fidelity's FID network with random weights, built without the file that it wants."""
    published = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")

    class Blank(published.FeatureExtractorInceptionV3):
        def load_state_dict(self, state_dict, strict=True, assign=False):
            return None

    path = tmp_path_factory.mktemp("inception") / "none.pth"
    torch.save({}, path)
    network = Blank("blank", ["2048"], feature_extractor_weights_path=str(path))
    torch.manual_seed(0)
    for parameter in network.parameters():
        if parameter.ndim == 4:
            nn.init.kaiming_normal_(parameter)
    return network


VISION = {"image_size": 32, "patch_size": 16, "hidden_size": 32, "intermediate_size": 64}
TEXT = {"vocab_size": 600, "hidden_size": 32, "intermediate_size": 64}
LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIPModel folder of transformers with random weights, 32 pixels, letters as tokens."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    path = tmp_path_factory.mktemp("models") / "clip"
    ends = {"bos_token_id": 512, "eos_token_id": 513, "pad_token_id": 513}
    text = {**TEXT, **LAYERS, **ends, "max_position_embeddings": 40}
    torch.manual_seed(0)
    model = CLIPModel(
        CLIPConfig(text_config=text, vision_config={**VISION, **LAYERS}, projection_dim=24)
    )
    # As drawn at first all directions would be nearly the same.
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    model.save_pretrained(path)
    side = {"height": 32, "width": 32}
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=side).save_pretrained(path)
    _letters(path, "CLIPTokenizer", "<|startoftext|>", "<|endoftext|>")
    return path


@pytest.fixture(scope="session")
def tiny_siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SiglipModel folder of transformers with random weights, 32 pixels, letters as tokens."""
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

    path = tmp_path_factory.mktemp("models") / "siglip"
    text = {**TEXT, **LAYERS, "max_position_embeddings": 40, "projection_size": 32}
    torch.manual_seed(1)
    model = SiglipModel(SiglipConfig(text_config=text, vision_config={**VISION, **LAYERS}))
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    with torch.no_grad():
        model.logit_scale.fill_(2.0)
        model.logit_bias.fill_(-3.0)
    model.save_pretrained(path)
    SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(path)
    _letters(path, "PreTrainedTokenizerFast", "<s>", "</s>")
    return path


def _letters(path: Path, kind: str, begin: str, end: str) -> None:
    """A byte-level tokenizer without merges: every letter is a token."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    every = [*letters, *(f"{letter}</w>" for letter in letters), begin, end]
    vocabulary = {token: number for number, token in enumerate(every)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token=end, end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    ends = (end, vocabulary[end]), (begin, vocabulary[begin])
    tokenizer.post_processor = processors.RobertaProcessing(*ends, add_prefix_space=False)
    tokenizer.save(str(path / "tokenizer.json"))
    words = {"tokenizer_class": kind, "bos_token": begin, "eos_token": end, "pad_token": end}
    settings = {**words, "unk_token": end, "model_max_length": 40}
    (path / "tokenizer_config.json").write_text(json.dumps(settings))


WORDS = ("a", "photo", "of", "red", "dog", "next", "to")
CONTEXT = 32


@pytest.fixture(scope="session")
def pipeline_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A StableDiffusionPipeline with random weights, 16 pixels, as diffusers saves it."""
    from transformers import CLIPTextConfig, CLIPTextModel

    peers = pytest.importorskip("diffusers")
    folder = tmp_path_factory.mktemp("pipelines") / "tiny"
    tokenizer = _words(tmp_path_factory.mktemp("words"))
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
    peers = pytest.importorskip("diffusers")
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


def _words(folder: Path) -> Any:
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
