"""Models of pictures and sentences: CLIP and its kin, templates, ensembles of prompts."""

from marmor.language.busy_patches import busiest, features_of_patches
from marmor.language.clip import Clip, Facts, Sight, logits
from marmor.language.contrast import contrastive_loss
from marmor.language.hub_clip import (
    INSTALL,
    Activation,
    has_weights,
    is_hub_clip,
    load_hub_clip,
    quiet,
)
from marmor.language.open_clip_files import OpenClip, is_openai, open_clip_model, openai_clip
from marmor.language.prompts import embed_prompts, ensemble, sentences_for, spoken
from marmor.language.small_clip import (
    ClipSizes,
    save_clip,
    small_clip,
    small_sight,
    text_config,
)
from marmor.language.templates import LISTS, fill, read_templates
from marmor.language.vocabulary import clip_tokenizer, save_tokenizer

__all__ = [
    "INSTALL",
    "LISTS",
    "Activation",
    "Clip",
    "ClipSizes",
    "Facts",
    "OpenClip",
    "Sight",
    "busiest",
    "clip_tokenizer",
    "contrastive_loss",
    "embed_prompts",
    "ensemble",
    "features_of_patches",
    "fill",
    "has_weights",
    "is_hub_clip",
    "is_openai",
    "load_hub_clip",
    "logits",
    "open_clip_model",
    "openai_clip",
    "quiet",
    "read_templates",
    "save_clip",
    "save_tokenizer",
    "sentences_for",
    "small_clip",
    "small_sight",
    "spoken",
    "text_config",
]
