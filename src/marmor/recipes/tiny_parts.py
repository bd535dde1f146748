"""The parts of a small text-to-image pipeline, made from nothing, and the folder that they are kept in."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from marmor.base.errors import UserError
from marmor.data.writers import whole_folder
from marmor.language import (
    INSTALL,
    ClipSizes,
    load_hub_clip,
    quiet,
    save_tokenizer,
    text_config,
)
from marmor.recipes.folders import hub_folder
from marmor.training import Optimizers, muon_and_adamw

LATENT_CHANNELS = 4


@dataclass(frozen=True)
class PipelineSizes:
    """How large a pipeline is.

    Args:
        coder: channels of the autoencoder at full size, half and so on, down to the size of latents.
        unet: channels of the U-Net at the size of latents, half and so on.
        layers: residual blocks of autoencoder and U-Net at each size.
        groups: of GroupNorm everywhere.
        text: width and layers of the text encoder, where it is not a CLIP's.
        context: tokens of a prompt, start and end among them.
    """

    coder: tuple[int, ...] = (16, 32, 64)
    unet: tuple[int, ...] = (64, 128)
    layers: int = 1
    groups: int = 8
    text: tuple[int, int] = (128, 3)
    context: int = 32

    @property
    def shrinks(self) -> int:
        """How many pixels along a side one latent stands for."""
        return 2 ** (len(self.coder) - 1)


class Words(NamedTuple):
    """What reads prompts: a CLIPTokenizer and a CLIPTextModel."""

    tokenizer: Any
    encoder: Any


def require_diffusers() -> None:
    """UserError where diffusers or transformers is not installed."""
    try:
        import diffusers  # noqa: F401
        import transformers  # noqa: F401
    except ImportError:
        raise UserError(
            f"a text-to-image pipeline is made with diffusers and transformers; {INSTALL}"
        ) from None


def autoencoder(sizes: PipelineSizes, side: int) -> Any:
    """An AutoencoderKL for pictures of ``side`` pixels."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    count = len(sizes.coder)
    # diffusers' annotations know tuples of one block.
    blocks: dict[str, Any] = {
        "block_out_channels": sizes.coder,
        "down_block_types": ("DownEncoderBlock2D",) * count,
        "up_block_types": ("UpDecoderBlock2D",) * count,
    }
    return AutoencoderKL(
        **blocks,
        latent_channels=LATENT_CHANNELS,
        layers_per_block=sizes.layers,
        norm_num_groups=sizes.groups,
        sample_size=side,
        mid_block_add_attention=False,
        force_upcast=False,
    )


def unet(sizes: PipelineSizes, side: int, width: int) -> Any:
    """A UNet2DConditionModel for pictures of ``side`` pixels, as latents, and words of ``width``."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    count = len(sizes.unet)
    return UNet2DConditionModel(
        sample_size=side // sizes.shrinks,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=sizes.unet,
        down_block_types=("CrossAttnDownBlock2D",) * count,
        up_block_types=("CrossAttnUpBlock2D",) * count,
        layers_per_block=sizes.layers,
        norm_num_groups=sizes.groups,
        cross_attention_dim=width,
        attention_head_dim=4,  # heads; diffusers' name is kept for the sake of old checkpoints
    )


def optimizers_of(module: nn.Module) -> Optimizers:
    """What moves a small network: Muon its ``hidden_weights``, AdamW the rest (docs/language.md)."""
    return muon_and_adamw(module, hidden_weights(module), muon_rate=0.02, adamw_rate=2e-3)


def hidden_weights(module: nn.Module) -> list[nn.Parameter]:
    """Matrices and kernels inside the blocks of networks of diffusers and the layers of transformers'."""
    named = module.named_parameters()
    return [p for name, p in named if p.ndim >= 2 and ("_block" in name or ".layers." in name)]


def new_words(tokenizer: Any, sizes: PipelineSizes) -> Words:
    """A text encoder that has read nothing yet."""
    from transformers import CLIPTextConfig, CLIPTextModel

    asked = ClipSizes(text=sizes.text, space=sizes.text[0], context=sizes.context)
    return Words(tokenizer, CLIPTextModel(CLIPTextConfig(**text_config(tokenizer, asked))))


def words_of_clip(folder: Path) -> Words:
    """Tokenizer and text encoder of a CLIP.

    ``folder`` is one of transformers, a run of `marmor train tiny-clip`, or `pretrained:NAME`. Raises
    UserError for what is none, and for a SigLIP, whose text encoder no such pipeline has.
    """
    from transformers import CLIPModel, CLIPTextModel

    clip = load_hub_clip(hub_folder(folder, "tiny-clip"))
    if not isinstance(clip.model, CLIPModel):
        raise UserError(f"{folder} holds no CLIP; name one, or a run of `marmor train tiny-clip`.")
    config: Any = clip.model.config.text_config
    encoder = CLIPTextModel(config)
    # What lies above the last state, the projection into CLIP's space, no prompt needs.
    encoder.load_state_dict(clip.model.text_model.state_dict())
    clip.tokenizer.model_max_length = clip.facts.context
    return Words(clip.tokenizer, encoder)


def sampling_scheduler() -> Any:
    """DPM-Solver++ (Lu et al. 2022) for velocities, on the cosine schedule, from its very last step.

    Latents of 64 pixels bear less noise than those of 512: the linear schedule, made for these, would train
    mostly where nothing is left to see (docs/scenes.md).
    """
    from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

    return DPMSolverMultistepScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        steps_offset=1,  # without effect here; diffusers warns of pipelines without it
    )


def pipeline_of(words: Words, network: Any, coder: Any) -> Any:
    """A StableDiffusionPipeline without a safety checker."""
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import (
        StableDiffusionPipeline,
    )

    with quiet():
        pipeline = StableDiffusionPipeline(
            vae=coder,
            text_encoder=words.encoder,
            tokenizer=words.tokenizer,
            unet=network,
            scheduler=sampling_scheduler(),
            safety_checker=None,  # type: ignore[arg-type]
            feature_extractor=None,  # type: ignore[arg-type]
            requires_safety_checker=False,
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def save_pipeline(pipeline: Any, folder: Path) -> None:
    """A folder as diffusers saves it, whole or not at all, in place of one that is there."""
    for part in (pipeline.text_encoder, pipeline.unet, pipeline.vae):
        _plain_memory(part)
    shutil.rmtree(folder, ignore_errors=True)
    with whole_folder(folder) as place, quiet():
        pipeline.save_pretrained(place)
        save_tokenizer(pipeline.tokenizer, place / "tokenizer")


def _plain_memory(module: nn.Module) -> None:
    """Weights in the order of memory that files have."""
    for parameter in module.parameters():
        parameter.data = parameter.data.contiguous(memory_format=torch.contiguous_format)
