"""Models of pictures and sentences from any file, and their embeddings, kept from one command to the next."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from marmor import __version__
from marmor.base.cache import kept_json, kept_tensor
from marmor.base.cores import on_cores
from marmor.base.errors import UserError
from marmor.base.files import fingerprint_of
from marmor.base.progress import progress_bar
from marmor.base.tensors import is_script, read_script
from marmor.data import Fit, ImageSet, MissingSplitError, MixedSizesError, read
from marmor.language import (
    Activation,
    Clip,
    Facts,
    Sight,
    embed_prompts,
    is_hub_clip,
    is_openai,
    load_hub_clip,
    open_clip_model,
    openai_clip,
    sentences_for,
)
from marmor.networks.checkpoints import load_into, load_state
from marmor.recipes.folders import hub_folder

BATCH = 32
READ = (".json", ".txt", ".model", ".safetensors", ".bin", ".pt", ".pth")
"""Endings of the files in a folder that a model may be made of."""


@dataclass(frozen=True, kw_only=True)
class ModelWishes:
    """Which model reads pictures and sentences.

    Args:
        model: a folder of a CLIP or SigLIP of transformers, a run of `marmor train tiny-clip`,
            pretrained:tiny-clip, an open_clip checkpoint, or OpenAI's .pt.
        architecture: of an open_clip checkpoint: a name such as ViT-B-32, or a JSON file of its sizes.
        activation: quick_gelu or gelu, against what the checkpoint's kind says.
    """

    model: Path
    architecture: str | None = None
    activation: Activation | None = None


def activation_told(facts: Facts, wishes: ModelWishes) -> str:
    """Which activation the network has, and who said so."""
    said = "as --activation says" if wishes.activation else "by the kind of the checkpoint"
    return f"{facts.kind}, {facts.activation} {said}."


class TextImage:
    """A model that is read once something is not in the cache.

    Raises UserError where there is no such file or folder.
    """

    def __init__(self, wishes: ModelWishes) -> None:
        self.wishes = replace(wishes, model=hub_folder(wishes.model, "tiny-clip"))
        self.fingerprint = _fingerprint(self.wishes)

    @cached_property
    def model(self) -> Clip:
        return load(self.wishes)

    @cached_property
    def facts(self) -> Facts:
        key = ("text-image-facts", __version__, self.fingerprint)
        return Facts.from_json(kept_json(key, lambda: asdict(self.model.facts)))

    def read(self, spec: str, split: str) -> ImageSet:
        """Images of one size as they are, others as the model wants them; all, without such a split."""
        try:
            return read(spec, split)
        except MissingSplitError:
            if split == "train":
                raise
            return self.read(spec, "train")
        except MixedSizesError:
            sight = self.facts.sight
            return read(spec, split, sight.side, _fit(sight))

    def embed_images(self, images: ImageSet, title: str) -> Tensor:
        """float32 (N, D) of length 1, from the cache where the same images were embedded before."""
        key = ("image-embeddings", __version__, self.fingerprint, images.unlabelled().fingerprint())

        def measure() -> Tensor:
            model = self.model  # read here, once, and not by every thread
            sight = model.facts.sight
            fit = _fit(sight)

            @torch.inference_mode()
            def embed(batch: Tensor) -> Tensor:
                return model.images(fit(batch, sight.side))

            with progress_bar(f"embeddings of {title}") as bar:
                found = on_cores(embed, images.images.split(BATCH), bar)
            return torch.cat(found).clone()  # outside inference mode, so that others may use it

        return kept_tensor(key, measure)

    def embed_prompts(self, templates: Sequence[str], names: Sequence[str]) -> Tensor:
        """float32 (T, K, D) of length 1, from the cache where the same sentences were embedded before."""
        key = ("prompt-embeddings", *self._asked(templates, names))

        def measure() -> Tensor:
            with progress_bar(f"embeddings of {len(templates) * len(names):,} sentences") as bar:
                return embed_prompts(self.model, templates, names, bar)

        return kept_tensor(key, measure)

    def cut(self, templates: Sequence[str], names: Sequence[str]) -> int:
        """How many of the sentences are longer than the model reads."""

        def measure() -> int:
            lengths = self.model.lengths(sentences_for(templates, names))
            return sum(length > self.facts.context for length in lengths)

        return kept_json(("prompts-cut", *self._asked(templates, names)), measure)

    def _asked(self, templates: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
        return (__version__, self.fingerprint, "templates", *templates, "names", *names)


def load(wishes: ModelWishes) -> Clip:
    """The model in a folder or a file, whose kind is recognised.

    Raises UserError where the kind is unknown, or needs an architecture that is not named.
    """
    path, activation = wishes.model, wishes.activation
    if path.is_dir():
        if not is_hub_clip(path):
            raise UserError(
                f"{path} has no config.json of a CLIP or SigLIP of transformers; for weights of open_clip "
                "name the file itself, and its architecture with --architecture."
            )
        _without_architecture(wishes, "is a folder of transformers")
        return load_hub_clip(path, activation)
    state = read_script(path, "checkpoint") if is_script(path) else load_state(path)
    if is_openai(state):
        _without_architecture(wishes, "is OpenAI's own")
        return openai_clip(state, str(path), activation)
    if wishes.architecture is None:
        raise UserError(
            f"{path} does not tell its architecture; name it with --architecture, as ViT-B-32, or "
            "ViT-B-32-quickgelu for weights that were trained so."
        )

    def into(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
        load_into(network, weights, str(path))

    return open_clip_model(wishes.architecture, state, str(path), into, activation)


def _without_architecture(wishes: ModelWishes, what: str) -> None:
    if wishes.architecture is not None:
        raise UserError(
            f"{wishes.model} {what}, which tells its architecture; leave out --architecture."
        )


def _fit(sight: Sight) -> Fit:
    return Fit(sight.crop, sight.bicubic)


def _fingerprint(wishes: ModelWishes) -> str:
    """32 hex digits of all files that a model may be made of, so that it need not be read to be known."""
    path = wishes.model
    if not path.exists():
        raise UserError(f"the model {path} does not exist; name a folder or a file of weights.")
    files = sorted(f for f in path.iterdir() if f.suffix in READ) if path.is_dir() else [path]
    named = Path(wishes.architecture or "")
    if named.is_file():
        files.append(named)
    named_files = [(file.name, file) for file in files if file.is_file()]
    return fingerprint_of(named_files, f"{wishes.architecture} {wishes.activation}")
