"""CLIP and SigLIP as folders of ``transformers``: config, weights, tokenizer and image processor."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import torch
from torch import Tensor

from marmor.base.errors import UserError, reason, unknown_name
from marmor.base.files import read_settings
from marmor.language.clip import Clip, Facts, Sight

INSTALL = "install it with: pip install 'marmor[hub]'"
MODELS = {"clip": "CLIPModel", "siglip": "SiglipModel"}
"""Classes of transformers by the ``model_type`` of config.json."""

TOKENIZERS = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("spiece.model",))
"""Sets of files that make a tokenizer."""

WEIGHTS = (".safetensors", ".bin")

PROCESSORS = ("preprocessor_config.json", "processor_config.json")
"""Where the size and range of pictures stand; in the second under ``image_processor``."""

BICUBIC, BILINEAR = 3, 2  # Pillow's numbers, which image processors are written with

Activation = Literal["quick_gelu", "gelu"]


class HubClip(Clip):
    """A model of transformers behind marmor's words."""

    def __init__(self, model: Any, tokenizer: Any, facts: Facts, pad_all: bool) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.facts = facts
        # SigLIP was trained on sentences of one length; CLIP does not look behind the end.
        self.padding = "max_length" if pad_all else "longest"
        self.alone = Lock()

    def embed_images(self, x: Tensor) -> Tensor:
        return self.model.get_image_features(pixel_values=x).pooler_output

    def embed_texts(self, sentences: Sequence[str]) -> Tensor:
        # Fast tokenizers keep how they pad, and fail where two threads set it at once (transformers #47085).
        with self.alone:
            tokens = self.tokenizer(
                list(sentences),
                padding=self.padding,
                max_length=self.facts.context,
                truncation=True,
                return_tensors="pt",
            )
        return self.model.get_text_features(**tokens).pooler_output

    def lengths(self, sentences: Sequence[str]) -> list[int]:
        return [len(ids) for ids in self.tokenizer(list(sentences), verbose=False)["input_ids"]]


def is_hub_clip(folder: Path) -> bool:
    """Whether a folder has the config.json of a model of transformers."""
    config = folder / "config.json"
    return config.is_file() and "model_type" in read_settings(config)


def load_hub_clip(folder: Path, activation: Activation | None = None) -> HubClip:
    """A CLIP or SigLIP folder, in float32, from this disk alone; ``activation`` replaces its config's.

    Raises UserError for other kinds of models, parts that are missing or do not fit, and where transformers
    is not installed.
    """
    kind = read_settings(folder / "config.json")["model_type"]
    if kind not in MODELS:
        raise unknown_name(f"kind of model in {folder}", str(kind), MODELS)
    require_tokenizer(folder)
    _require_weights(folder)
    sight = read_sight(folder)
    try:
        import transformers
    except ImportError:
        raise UserError(f"{folder} needs transformers to be read; {INSTALL}") from None
    with quiet():
        model = _model(getattr(transformers, MODELS[kind]), folder, activation)
        tokenizer = _guarded(
            folder,
            lambda: transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True),
        )
    config = model.config
    if config.vision_config.image_size != sight.side:
        raise UserError(
            f"{folder} prepares pictures of {sight.side} pixels for a network of "
            f"{config.vision_config.image_size}; correct {PROCESSORS[0]}."
        )
    facts = Facts(
        kind=f"{'CLIP' if kind == 'clip' else 'SigLIP'} of transformers",
        activation=config.vision_config.hidden_act,
        scale=model.logit_scale.exp().item(),
        bias=model.logit_bias.item() if kind == "siglip" else 0.0,
        context=config.text_config.max_position_embeddings,
        sight=sight,
    )
    return HubClip(model.eval(), tokenizer, facts, pad_all=kind == "siglip")


def require_tokenizer(folder: Path) -> None:
    """UserError where a folder lacks the files of every kind of tokenizer."""
    if not any(all((folder / name).is_file() for name in files) for files in TOKENIZERS):
        wanted = ", or ".join(" and ".join(files) for files in TOKENIZERS)
        raise UserError(
            f"{folder} has no tokenizer: expected {wanted}; copy them from where the model comes from."
        )


def has_weights(folder: Path) -> bool:
    """Whether there is a file of weights in a folder."""
    return any(file.suffix in WEIGHTS for file in folder.iterdir())


def _require_weights(folder: Path) -> None:
    """UserError where a folder has no file of weights."""
    if not has_weights(folder):
        raise UserError(
            f"{folder} has no weights: expected model.safetensors; copy it from where the model comes from."
        )


def read_sight(folder: Path) -> Sight:
    """How the image processor of a folder prepares pictures.

    Raises UserError where it is missing, damaged, or does what is not done here.
    """
    path = next((folder / name for name in PROCESSORS if (folder / name).is_file()), None)
    if path is None:
        raise UserError(
            f"{folder} does not say how pictures are prepared: expected {PROCESSORS[0]}; copy it from where "
            "the model comes from."
        )
    settings = read_settings(path)
    settings = settings.get("image_processor", settings)
    try:
        crop = bool(settings.get("do_center_crop", False))
        size = _side(settings["size"])
        mean, std = (tuple(map(float, settings[name])) for name in ("image_mean", "image_std"))
        resample = int(settings.get("resample", BICUBIC))
        cut = _side(settings["crop_size"]) if crop else size
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged: {error!r}; copy it anew.") from error
    if cut != size or resample not in (BICUBIC, BILINEAR) or len(mean) != 3 or len(std) != 3:
        raise UserError(
            f"{path} resizes to {size}, cuts {cut} and filters by {resample}; expected one size, filter "
            f"{BICUBIC} or {BILINEAR}, and three means and deviations."
        )
    return Sight(size, crop, resample == BICUBIC, mean, std)


def _side(size: int | Mapping[str, int]) -> int:
    if isinstance(size, int):
        return size
    sides = {size[name] for name in ("shortest_edge", "height", "width") if size.get(name)}
    if len(sides) != 1:
        raise ValueError(f"pictures of {dict(size)} are not square")
    return int(sides.pop())


def _model(family: Any, folder: Path, activation: Activation | None) -> Any:
    """The network in float32; UserError where weights are missing or do not fit."""
    config = _guarded(
        folder, lambda: family.config_class.from_pretrained(folder, local_files_only=True)
    )
    if activation is not None:
        config.text_config.hidden_act = config.vision_config.hidden_act = activation
    model, told = _guarded(
        folder,
        lambda: family.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            output_loading_info=True,
            dtype=torch.float32,
        ),
    )
    if missing := sorted(told["missing_keys"]):
        raise UserError(f"{folder} does not fit its config.json: {missing[0]!r} is missing.")
    return model


def _guarded(folder: Path, read: Any) -> Any:
    """What transformers reads; whatever it raises as one sentence."""
    try:
        return read()
    except Exception as error:  # whatever its many readers raise
        raise UserError(f"{folder} cannot be read by transformers: {reason(error)}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without bars and tables of transformers: what matters is said in errors."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
