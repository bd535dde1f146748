"""Features of sets of images: by which instrument, and kept under the fingerprints of both."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from marmor.base.cache import kept_tensor
from marmor.base.cores import on_cores
from marmor.base.errors import UserError, unknown_name
from marmor.base.progress import progress_bar
from marmor.data import ImageSet
from marmor.networks.checkpoints import fingerprint
from marmor.networks.extractors import (
    EfficientNetLite0,
    Extractor,
    JudgeFeatures,
    Pixels,
    load_inception,
)
from marmor.recipes.models import load_judge

BATCH = 4
"""Larger ones have activations of more than 32 MiB, which the C library maps anew each time: that took longer
than the network itself."""
PREPARATION = "2"
"""Of how images are prepared for extractors; another one makes the cache measure features anew."""
PHOTOGRAPHS = "efficientnet-lite0"
INSTRUMENTS = (PHOTOGRAPHS, "inception:FILE", "judge:RUN", "pixels")


@dataclass(frozen=True)
class Instrument:
    """What measures: ``name`` as figures are called by it, ``title`` as people read it."""

    name: str
    title: str
    extractor: Extractor
    side: int | None = None
    """Side that images are brought to before; None where the extractor does that."""

    @property
    def fingerprint(self) -> str:
        """The same for the same weights, graph and way of preparing."""
        network = fingerprint(self.extractor) + self.extractor.graph
        return f"{self.name}-{network}-{self.side}-{PREPARATION}"

    @property
    def sees(self) -> int | None:
        """Side that images are brought to, here or by the extractor; None where any will do."""
        return self.side or self.extractor.side


def instrument(spec: str, side: int) -> Instrument:
    """``efficientnet-lite0``, ``inception:FILE``, ``judge:RUN`` or ``pixels`` of images of a side.

    Raises UserError with the nearest name for others, and for weights that are missing or do not fit.
    """
    name, _, what = spec.partition(":")
    if name == PHOTOGRAPHS and not what:
        return Instrument(name, "EfficientNet-lite0 features", EfficientNetLite0())
    if name == "pixels" and not what:
        return Instrument(name, "pixels", Pixels(side), side)
    if name == "inception" and what:
        return Instrument(name, "Inception features (FID)", load_inception(Path(what)))
    if name == "judge" and what:
        loaded = load_judge(what)
        own = loaded.judge.image_size or loaded.side or side
        return Instrument(name, f"features of {what}", JudgeFeatures(loaded.judge), own)
    if name in ("inception", "judge"):
        raise UserError(f"--features {name} needs to know which: write {name}:PATH.")
    raise unknown_name("features", spec, INSTRUMENTS)


def features_of(by: Instrument, images: ImageSet, title: str) -> Tensor:
    """float32 (N, D), from the cache where the same images were measured before."""
    prepared = images.unlabelled()
    if by.side is not None:
        prepared = prepared.resized(by.side)
    key = ("features", prepared.fingerprint(), by.fingerprint)

    def measure() -> Tensor:
        with progress_bar(f"features of {title}") as bar:
            return extract(by.extractor, prepared.images, bar)

    return kept_tensor(key, measure)


def extract(
    extractor: Extractor, images: Tensor, watch: Callable[[float], object] = lambda share: None
) -> Tensor:
    """uint8 (N, C, H, W) → float32 (N, D)."""

    @torch.inference_mode()
    def measure(batch: Tensor) -> Tensor:
        return extractor(batch).float()

    found = on_cores(measure, images.split(BATCH), watch)
    return torch.cat(found).clone()  # outside inference mode, so that others may use it
