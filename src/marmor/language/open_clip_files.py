"""CLIP from files of weights: open_clip's checkpoints with their architecture, and OpenAI's own ``.pt``."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from marmor.base.errors import UserError, reason, unknown_name
from marmor.base.files import read_json
from marmor.language.clip import Clip, Facts, Sight
from marmor.language.hub_clip import INSTALL, Activation

FACTS = ("input_resolution", "context_length", "vocab_size")
"""What OpenAI's files hold beside weights, and nobody else's."""

MODEL = ("embed_dim", "vision_cfg", "text_cfg")
"""What an architecture must say."""

Load = Callable[[nn.Module, Mapping[str, Tensor]], None]
"""Copies weights into a network, or says why they do not fit."""

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of OpenAI's training images (github.com/openai/CLIP); open_clip's default."""


class OpenClip(Clip):
    """A model of open_clip behind marmor's words."""

    def __init__(self, model: Any, tokenizer: Any, facts: Facts) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.facts = facts

    def embed_images(self, x: Tensor) -> Tensor:
        return self.model.encode_image(x)

    def embed_texts(self, sentences: Sequence[str]) -> Tensor:
        return self.model.encode_text(self.tokenizer(list(sentences)))

    def lengths(self, sentences: Sequence[str]) -> list[int]:
        return [len(self.tokenizer.encode(sentence)) + 2 for sentence in sentences]


def is_openai(state: Mapping[str, Tensor]) -> bool:
    """Whether weights are OpenAI's own, by the numbers that lie beside them."""
    return all(name in state for name in FACTS)


def openai_clip(
    state: Mapping[str, Tensor], where: str, activation: Activation | None = None
) -> OpenClip:
    """OpenAI's CLIP, a ViT or a ResNet, whose sizes follow from its weights; QuickGELU unless told otherwise.

    Raises UserError for weights that are not such a model's, and where open_clip is not installed.
    """
    library = _library(where)
    quick = activation != "gelu"
    try:
        # The builder takes the numbers out of the dictionary that it is given.
        model = library.model.build_model_from_openai_state_dict(
            dict(state), quick_gelu=quick, cast_dtype=torch.float32
        ).float()
        # It has rounded them to half precision, in which OpenAI's own files are, but not those made of them.
        model.load_state_dict({name: v for name, v in state.items() if name not in FACTS})
    except Exception as error:  # shapes are read off names, and any of them may be missing
        raise UserError(
            f"{where} does not hold the weights of an OpenAI CLIP: {reason(error)[:300]}"
        ) from error
    side = model.visual.image_size
    sight = Sight(side if isinstance(side, int) else side[0], True, True, MEAN, STD)
    return _ready(library, model, "CLIP by OpenAI", quick, sight, {})


def open_clip_model(
    architecture: str,
    state: Mapping[str, Tensor],
    where: str,
    load: Load,
    activation: Activation | None = None,
) -> OpenClip:
    """A network of open_clip with the weights of ``where``.

    ``architecture``: a name that open_clip knows, or a JSON file as it writes them: its own configs, or
    ``open_clip_config.json``, which also says how pictures are prepared. Whether it is a network of QuickGELU
    is the architecture's to say, unless ``activation`` does.

    Raises UserError for unknown names, files that are no architecture, architectures whose tokenizer does not
    come with open_clip, and where open_clip is not installed.
    """
    library = _library(where)
    config, pictures = _architecture(library, architecture)
    text, vision = dict(config["text_cfg"]), dict(config["vision_cfg"])
    if text.get("hf_model_name") or text.get("hf_tokenizer_name") or "multimodal_cfg" in config:
        raise UserError(
            f"the sentences of {architecture} are read by parts that do not come with open_clip; give the "
            "folder that transformers has of this model."
        )
    quick = config.get("quick_gelu", False) if activation is None else activation == "quick_gelu"
    custom = config.get("custom_text", False)
    family = library.model.CustomTextCLIP if custom else library.model.CLIP
    sizes = {name: value for name, value in config.items() if name != "custom_text"}
    if "timm_model_name" in vision:
        vision["timm_model_pretrained"] = False  # or open_clip would ask the network
    try:
        model = family(**{**sizes, "vision_cfg": vision, "text_cfg": text, "quick_gelu": quick})
    except Exception as error:
        raise UserError(
            f"{architecture} is no architecture of open_clip: {reason(error)}"
        ) from error
    load(model, _named_as(library, model, state))
    sight = _sight(pictures, vision)
    return _ready(library, model, f"CLIP of open_clip, {architecture}", quick, sight, text)


def _named_as(library: Any, model: Any, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Weights by the names that a network has: those of earlier versions had the text's part at the top."""
    if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
        return library.model.convert_to_custom_text_state_dict(dict(state))
    return state


def _ready(
    library: Any, model: Any, kind: str, quick: bool, sight: Sight, text: Mapping[str, Any]
) -> OpenClip:
    options = dict(text.get("tokenizer_kwargs") or {})
    tokenizer = library.tokenizer.SimpleTokenizer(context_length=model.context_length, **options)
    bias = model.logit_bias
    facts = Facts(
        kind=kind,
        activation="quick_gelu" if quick else "gelu",
        scale=model.logit_scale.exp().item(),
        bias=0.0 if bias is None else bias.item(),
        context=model.context_length,
        sight=sight,
    )
    return OpenClip(model.eval(), tokenizer, facts)


def _architecture(library: Any, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The sizes of a network, and how its pictures are prepared, {} where that is not said."""
    path = Path(name)
    if path.suffix == ".json":
        content = read_json(path)
        content = content if isinstance(content, dict) else {}
        config, pictures = content.get("model_cfg", content), content.get("preprocess_cfg", {})
        missing = [key for key in MODEL if not isinstance(config, dict) or key not in config]
        if missing:
            raise UserError(f"{path} is no architecture of open_clip: {missing[0]} is missing.")
        return config, pictures
    known = library.list_models()
    if name not in known:
        raise unknown_name("architecture", name, known)
    return library.get_model_config(name), {}


def _sight(pictures: Mapping[str, Any], vision: Mapping[str, Any]) -> Sight:
    side = pictures.get("size", vision.get("image_size", 224))
    return Sight(
        side=side if isinstance(side, int) else int(side[0]),
        crop=pictures.get("resize_mode", "shortest") != "squash",
        bicubic=pictures.get("interpolation", "bicubic") != "bilinear",
        mean=_triple(pictures.get("mean", MEAN)),
        std=_triple(pictures.get("std", STD)),
    )


def _triple(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = map(float, values)
    return red, green, blue


def _library(where: str) -> Any:
    try:
        import open_clip
        import open_clip.model
        import open_clip.tokenizer
    except ImportError:
        raise UserError(f"{where} needs open_clip to be read; {INSTALL}") from None
    return open_clip
