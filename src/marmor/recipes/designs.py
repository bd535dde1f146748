"""The designs that `marmor train digits --network NAME` can train: network, noise, optimizer, drawing."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from marmor.base.conditions import ClassLabel
from marmor.diffusion import (
    Denoiser,
    Flow,
    LogitNormal,
    MinSnr,
    NoisePrediction,
    PreconditionedPrediction,
    TimeSampling,
    UniformSteps,
    script_betas,
)
from marmor.networks.context_unet import ContextUnet
from marmor.networks.uvit import UViT
from marmor.training import Optimizers, adam, linear_decay, muon_and_adamw, warmup_then_linear

Shape = tuple[int, int, int]
Solver = Literal["dpm-solver++", "ddim", "ddpm"]


@dataclass(frozen=True)
class Drawing:
    """How images are drawn from a denoiser.

    Args:
        solver: dpm-solver++ (2M), ddim or ddpm (large variance).
        steps: network calls per image; both halves of guidance count as one.
        eta: fresh noise at each step of dpm-solver++ and ddim: 0 is none, 1 as much as DDPM.
        guidance: 1 is no guidance; the papers' w is guidance − 1.
        guided_from: guidance acts while t is at least this, in [0, 1].
        guided_to: guidance acts while t is at most this.
        start: the time at which pure noise enters.
        clip: the image estimate is kept in [-clip, clip]; None for not at all.
    """

    solver: Solver = "dpm-solver++"
    steps: int = 12
    eta: float = 0.0
    guidance: float = 3.0
    guided_from: float = 0.3
    guided_to: float = 1.0
    start: float = 0.995
    clip: float | None = 1.05


@dataclass(frozen=True)
class Design:
    """One way to train and draw a class-conditional diffusion model."""

    build: Callable[[Shape, int], Denoiser]
    optimizers: Callable[[Denoiser], Optimizers]
    rate: Callable[[float], float]
    times: TimeSampling
    batch_size: int
    ema: float
    drawing: Drawing
    weighting: MinSnr | None = None
    guidance: Callable[[int], float] | None = None
    """The scale to draw with after so many images of training; the drawing's own where None."""

    def drawing_after(self, images: int) -> Drawing:
        """How a model is drawn that has seen ``images`` images."""
        if self.guidance is None:
            return self.drawing
        return replace(self.drawing, guidance=self.guidance(images))


def fading_guidance(images: int) -> float:
    """Guidance for a UViT: it makes up for what training has not reached yet, and costs variety.

    3.8 up to 50,000 images, 1.75 less for each tenfold, not under 1.5 (docs/digits.md has the tables).
    """
    return round(min(max(3.8 - 1.75 * math.log10(max(images, 1) / 50_000), 1.5), 3.8), 1)


def _uvit(shape: Shape, classes: int) -> Denoiser:
    network = UViT(shape, {"class": classes})
    return Denoiser(network, Flow(), PreconditionedPrediction(), {"class": ClassLabel(classes)})


def _uvit_optimizers(denoiser: Denoiser) -> Optimizers:
    assert isinstance(denoiser.network, UViT)
    return muon_and_adamw(denoiser, denoiser.network.hidden_matrices())


PUBLISHED_STEPS = 400


def _context_unet(shape: Shape, classes: int) -> Denoiser:
    return as_published(
        ContextUnet(in_channels=shape[0], classes=classes, bottleneck=shape[1] // 4)
    )


def as_published(network: ContextUnet) -> Denoiser:
    """A ContextUnet with the schedule, prediction and condition of the public script."""
    kinds = {"class": ClassLabel(network.classes)}
    return Denoiser(network, script_betas(PUBLISHED_STEPS), NoisePrediction(), kinds)


DESIGNS: dict[str, Design] = {
    "uvit": Design(
        build=_uvit,
        optimizers=_uvit_optimizers,
        rate=warmup_then_linear,
        times=LogitNormal(std=0.75),
        batch_size=64,
        ema=0.995,
        drawing=Drawing(),
        guidance=fading_guidance,
    ),
    # The published recipe: T = 400, Adam 1e-4 with linear decay, batch 256, no EMA, w = 2.
    "context-unet": Design(
        build=_context_unet,
        optimizers=lambda denoiser: adam(denoiser, 1e-4),
        rate=linear_decay,
        times=UniformSteps(PUBLISHED_STEPS),
        batch_size=256,
        ema=0.0,
        drawing=Drawing(
            "ddpm", PUBLISHED_STEPS, guidance=3.0, guided_from=0.0, start=1.0, clip=None
        ),
    ),
}
