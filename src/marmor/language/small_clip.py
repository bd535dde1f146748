"""A small CLIP of transformers, made from nothing, and the folder that it is kept in."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from marmor.language.clip import Sight
from marmor.language.open_clip_files import MEAN, STD
from marmor.language.starts import begin_nearby
from marmor.language.vocabulary import save_tokenizer

HEAD = 32
"""Width of an attention head."""


@dataclass(frozen=True)
class ClipSizes:
    """How large a CLIP is.

    Args:
        vision: width and layers of what reads pictures.
        text: the same for sentences.
        space: dimensions of the space that both come to.
        patch: pixels along a side of a patch.
        context: tokens of a sentence, start and end among them.
    """

    vision: tuple[int, int] = (128, 3)
    text: tuple[int, int] = (128, 3)
    space: int = 128
    patch: int = 4
    context: int = 32


def text_config(tokenizer: Any, sizes: ClipSizes) -> dict[str, Any]:
    """What CLIPTextConfig is told."""
    ends = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in _ENDS}
    about = {"vocab_size": len(tokenizer), "max_position_embeddings": sizes.context}
    return {**_layers(*sizes.text), **ends, **about, "projection_dim": sizes.space}


def small_clip(tokenizer: Any, side: int, sizes: ClipSizes) -> Any:
    """A CLIPModel for pictures of ``side`` pixels, a multiple of ``sizes.patch``; torch's seed decides."""
    from transformers import CLIPConfig, CLIPModel

    vision = {"image_size": side, "patch_size": sizes.patch}
    config = CLIPConfig(
        text_config=text_config(tokenizer, sizes),
        vision_config={**_layers(*sizes.vision), **vision, "projection_dim": sizes.space},
        projection_dim=sizes.space,
    )
    model = CLIPModel(config)
    begin_nearby(model.vision_model)
    return model


def small_sight(side: int) -> Sight:
    """How a small CLIP wants its pictures: as OpenAI's do, only smaller."""
    return Sight(side, crop=True, bicubic=True, mean=MEAN, std=STD)


def save_clip(model: Any, tokenizer: Any, folder: Path) -> None:
    """Config, weights, tokenizer and image processor, in float32, as transformers has them."""
    from transformers import CLIPImageProcessor

    side = model.config.vision_config.image_size
    model.to(torch.float32).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    square = {"height": side, "width": side}
    CLIPImageProcessor(size={"shortest_edge": side}, crop_size=square).save_pretrained(folder)


_ENDS = ("bos", "eos", "pad")


def _layers(width: int, depth: int) -> dict[str, int]:
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": depth,
        "num_attention_heads": width // HEAD,
    }
