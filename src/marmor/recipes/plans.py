"""The methods of `marmor adapt` by name: what they minimise, what they see, how long they train."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from marmor.adaptation import annealed_rate
from marmor.adaptation.methods import (
    AdaMatch,
    Cdan,
    Coral,
    Dann,
    InfoMax,
    MeanTeacher,
    Method,
    Mmd,
    Refining,
    Shot,
    SourceOnly,
)
from marmor.data.augment import augment, augment_boldly, augment_warped, lay_on_textures
from marmor.training import Optimizers, muon_and_adamw, warmup_then_linear

View = Callable[[Tensor, torch.Generator], Tensor]


def plain(images: Tensor, generator: torch.Generator) -> Tensor:
    """The images themselves."""
    return images


def textured(images: Tensor, generator: torch.Generator) -> Tensor:
    """Boldly changed, half of the images on random textures first."""
    return augment_boldly(lay_on_textures(images, generator), generator)


WIDTHS = (0.4, 1.35)
"""From condensed typefaces to wide ones."""


def stretched(images: Tensor, generator: torch.Generator) -> Tensor:
    """Boldly changed, and narrower or wider."""
    return augment_boldly(images, generator, WIDTHS)


def textured_stretched(images: Tensor, generator: torch.Generator) -> Tensor:
    """The same, half of the images on random textures first."""
    return stretched(lay_on_textures(images, generator), generator)


@dataclass(frozen=True)
class Views:
    """How images are changed before a network sees them: source, target, and the target once more."""

    source: View = plain
    target: View = plain
    strong: View = plain


@dataclass(frozen=True)
class Plan:
    """How one method is trained.

    ``start``: the plan whose network it goes on from; ``epochs``: passes over the larger of the two sets, or
    over 20,000 images where both are smaller; ``dropout``: of the features with labels or pseudo-labels, the
    share that each step hides from the last layer; ``clip_norm``: of the gradients, none where a method is
    published without; ``keeps_shares``: whether the shares of classes should stay where they began, else the
    run is in doubt.
    """

    method: Method
    views: Views = Views()
    start: str | None = None
    epochs: float = 6.0
    dropout: float = 0.0
    rates: Literal["published", "modern"] = "modern"
    clip_norm: float = 1.0
    keeps_shares: bool = False

    @property
    def guarded(self) -> bool:
        """Whether there is anything in the loss that a guard could weaken."""
        return not isinstance(self.method, SourceOnly)

    def optimizers(self, module: nn.Module) -> Optimizers:
        """SGD with momentum as DANN publishes it; or Muon on hidden kernels, AdamW on the rest."""
        if self.rates == "published":
            return Optimizers([torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9)])
        kernels = [p for p in module.parameters() if p.ndim == 4 and p.shape[1] > MOST_CHANNELS]
        gentler = 1.0 if self.start is None else 0.25
        return muon_and_adamw(
            module, kernels, 0.02 * gentler, 4e-3 * gentler, betas=(0.9, 0.999), weight_decay=0.05
        )

    def rate(self, progress: float) -> float:
        if self.rates == "published":
            return annealed_rate(progress)
        return warmup_then_linear(progress, warmup=0.1)


MOST_CHANNELS = 3
"""Of an image: a kernel that reads no more belongs to the first layer."""

SOURCE_ONLY, TARGET_ONLY = "source-only", "target-only"
"""The plans that bound every other: no adaptation, and training with the target's own labels."""
BEST = "best"
"""No plan of its own: the first of RUNGS whose shares of classes stay where they began."""
RUNGS: tuple[str, ...] = ("adamatch-refined", "quotas-refined", "adamatch")
"""Refining takes no sides, so a labelling that is right outlives it, and of a wrong one a class grows at
another's cost. Quotas, which are right of some targets only, have to stand that test; the last rung is
what is left where nothing does."""

DROPOUT = 0.4
"""Where few images are seen often: on the target alone."""

MILD = Views(augment, augment)
BOLD = Views(textured, augment, augment_boldly)
REFINED = Plan(
    Refining(),
    Views(strong=augment_warped),
    start="adamatch",
    epochs=1.2,
    dropout=DROPOUT,
    keeps_shares=True,
)
PLANS: dict[str, Plan] = {
    SOURCE_ONLY: Plan(SourceOnly()),
    "source-augmented": Plan(SourceOnly(), Views(textured)),
    "dann": Plan(Dann(), rates="published", clip_norm=math.inf),
    "dann-augmented": Plan(Dann(), Views(textured, augment_boldly)),
    "cdan": Plan(Cdan(), MILD),
    "coral": Plan(Coral(), MILD),
    "mmd": Plan(Mmd(), MILD),
    "mean-teacher": Plan(MeanTeacher(), BOLD),
    "adamatch": Plan(AdaMatch(), BOLD),
    "adamatch-refined": REFINED,
    "adamatch-quotas": Plan(
        AdaMatch(rounds=5, balance=1.0), Views(textured_stretched, augment, stretched)
    ),
    "quotas-refined": replace(REFINED, start="adamatch-quotas"),
    "infomax": Plan(InfoMax(), BOLD),
    "shot": Plan(
        Shot(), Views(plain, augment, augment_boldly), start="source-augmented", epochs=2.0
    ),
    TARGET_ONLY: Plan(SourceOnly(), Views(augment_warped), dropout=DROPOUT),
}
