"""Models of pictures and sentences: CLIP and its kin, templates, ensembles of prompts."""

from marmor.language.clip import Clip, Facts, Sight, logits
from marmor.language.hub_clip import Activation, is_hub_clip, load_hub_clip
from marmor.language.open_clip_files import OpenClip, is_openai, open_clip_model, openai_clip
from marmor.language.prompts import embed_prompts, ensemble, sentences_for, spoken
from marmor.language.templates import LISTS, fill, read_templates

__all__ = [
    "LISTS",
    "Activation",
    "Clip",
    "Facts",
    "OpenClip",
    "Sight",
    "embed_prompts",
    "ensemble",
    "fill",
    "is_hub_clip",
    "is_openai",
    "load_hub_clip",
    "logits",
    "open_clip_model",
    "openai_clip",
    "read_templates",
    "sentences_for",
    "spoken",
]
