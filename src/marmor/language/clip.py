"""What marmor asks of a model of pictures and sentences: one space for both, and what it must be given."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from marmor.base.pixels import to_unit

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Sight:
    """How a model wants its pictures.

    Args:
        side: in pixels; they are square.
        crop: the largest centred square is kept; otherwise the whole picture, squashed.
        bicubic: the filter when resizing; otherwise bilinear.
        mean: of red, green and blue in [0, 1], taken off.
        std: of the same, divided by.
    """

    side: int
    crop: bool
    bicubic: bool
    mean: Triple
    std: Triple

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 (N, 1 or 3, side, side) → float32 (N, 3, side, side); grey is copied to all channels."""
        return self.standardise(to_unit(images.expand(-1, 3, -1, -1), black=0.0))

    def standardise(self, images: Tensor) -> Tensor:
        """(N, 3, side, side) in [0, 1] → the same as networks take it."""
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (images - mean) / std


@dataclass(frozen=True)
class Facts:
    """What is known of a model, small enough to be kept beside its embeddings.

    Args:
        kind: which format and family.
        activation: in the transformer's blocks: quick_gelu for what OpenAI trained, gelu for most others.
        scale: what cosines are multiplied by, the inverse temperature.
        bias: what is added then; 0 but for SigLIP.
        context: tokens of a sentence, begin and end among them.
        sight: how it wants its pictures.
    """

    kind: str
    activation: str
    scale: float
    bias: float
    context: int
    sight: Sight

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Facts":
        """The inverse of ``dataclasses.asdict`` and JSON."""
        sight = values["sight"]
        pixels = {name: tuple(sight[name]) for name in ("mean", "std")}
        return cls(**{**values, "sight": Sight(**{**sight, **pixels})})


class Clip(ABC):
    """A model that puts pictures and sentences into one space (Radford et al. 2021)."""

    facts: Facts

    def images(self, images: Tensor) -> Tensor:
        """uint8 (N, 1 or 3, side, side) → float32 (N, D) of length 1."""
        return F.normalize(self.embed_images(self.facts.sight.normalise(images)).float(), dim=1)

    def texts(self, sentences: Sequence[str]) -> Tensor:
        """Sentences → float32 (N, D) of length 1; what is longer than the context is cut."""
        return F.normalize(self.embed_texts(sentences).float(), dim=1)

    @abstractmethod
    def embed_images(self, x: Tensor) -> Tensor:
        """Normalised pictures (N, 3, side, side) → (N, D) of any length."""

    @abstractmethod
    def embed_texts(self, sentences: Sequence[str]) -> Tensor:
        """Sentences → (N, D) of any length."""

    @abstractmethod
    def lengths(self, sentences: Sequence[str]) -> list[int]:
        """Tokens of each sentence, uncut, begin and end among them."""


def logits(facts: Facts, images: Tensor, texts: Tensor) -> Tensor:
    """(N, D) and (K, D) of length 1 → scale · cosine + bias, (N, K)."""
    return facts.scale * images @ texts.T + facts.bias
