"""The designs that `--network NAME` can train: network, noise, optimizer, drawing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from marmor.base.conditions import ClassLabel, Kinds, ObjectSet
from marmor.base.errors import UserError
from marmor.data import CLASS
from marmor.diffusion import (
    Denoiser,
    Flow,
    FlowPrediction,
    ImagePrediction,
    LogitNormal,
    MinSnr,
    NoisePrediction,
    PreconditionedPrediction,
    Prediction,
    TimeSampling,
    UniformSteps,
    VelocityPrediction,
    cosine_betas,
    linear_betas,
    script_betas,
)
from marmor.networks.context_unet import ContextUnet
from marmor.networks.steps import InSteps
from marmor.networks.unet import Shape as UNetShape
from marmor.networks.unet import UNet
from marmor.networks.uvit import UViT
from marmor.training import Optimizers, adam, linear_decay, muon_and_adamw, warmup_then_linear

Shape = tuple[int, int, int]
Solver = Literal["dpm-solver++", "unipc", "heun", "euler", "ddim", "ddpm"]
Spacing = Literal["uniform", "karras", "leading", "trailing", "linspace"]


@dataclass(frozen=True)
class Drawing:
    """How images are drawn from a denoiser.

    Args:
        solver: dpm-solver++ (2M), unipc (order 2), heun, euler, ddim or ddpm (large variance).
        steps: of the solver, one network call each, two for heun; both halves of guidance are one.
        spacing: of the times: uniform in t, karras (in the ratio of noise to signal), or, for a table
            of steps, leading, trailing or linspace.
        times: where to stop instead, falling, in (0, 1]; the clean image follows the last one.
        eta: fresh noise at each step of dpm-solver++ and ddim: 0 is none, 1 as much as DDPM.
        churn: noise added before the steps of heun and euler, S_churn of Karras et al. 2022.
        guidance: 1 is no guidance; the papers' w is guidance − 1.
        guidance_apart: scales of single conditions, by name, in place of that one.
        guided_from: guidance acts while t is at least this, in [0, 1].
        guided_to: guidance acts while t is at most this.
        rescale: how far guided estimates get back the spread of unguided ones, in [0, 1].
        start: the time at which pure noise enters, of uniform times.
        clip: the image estimate is kept in [-clip, clip]; None for not at all.
        noise_follows: the noise estimate then follows it; False: stays, as in public scripts of DDIM.
        threshold: image estimates are clipped at this quantile of their magnitudes, where that is above 1,
            and divided by it (dynamic thresholding, Saharia et al. 2022); None for not at all.
        black: the value that stands for black, below 1, which stands for white.
    """

    solver: Solver = "dpm-solver++"
    steps: int = 12
    spacing: Spacing = "uniform"
    times: tuple[float, ...] | None = None
    eta: float = 0.0
    churn: float = 0.0
    guidance: float = 3.0
    guidance_apart: Mapping[str, float] = field(default_factory=dict)
    guided_from: float = 0.3
    guided_to: float = 1.0
    rescale: float = 0.0
    start: float = 0.995
    clip: float | None = 1.05
    noise_follows: bool = True
    threshold: float | None = None
    black: float = -1.0

    def within(self, steps: int) -> "Drawing":
        """Itself, or DPM-Solver++ in ``steps`` steps where it takes more: nearly the same images sooner."""
        if self.steps <= steps:
            return self
        quick = replace(self, solver="dpm-solver++", steps=steps, spacing="trailing", times=None)
        return quick if self.clip is not None else replace(quick, clip=1.0)


@dataclass(frozen=True)
class Design:
    """One way to train and draw a diffusion model, of whatever conditions it is given."""

    build: Callable[[Shape, Kinds], Denoiser]
    optimizers: Callable[[Denoiser], Optimizers]
    rate: Callable[[float], float]
    times: Callable[[Shape], TimeSampling]
    batch_size: int
    ema: float
    drawing: Drawing
    weighting: MinSnr | None = None
    needs_classes: bool = False
    """Whether it draws nothing but images of classes."""
    adapted: Callable[[Drawing, int, Kinds], Drawing] | None = None
    """How the drawing changes with the images of training and the conditions; not at all where None."""

    def drawing_after(self, images: int, kinds: Kinds) -> Drawing:
        """How a model of such conditions is drawn that has seen ``images`` images."""
        return self.adapted(self.drawing, images, kinds) if self.adapted else self.drawing


SETS_GUIDANCE = 4.0
"""Between 3 and 4 as many objects of a set are found; 2.5 and 6 found fewer (docs/scenes.md)."""


def guided(drawing: Drawing, images: int, kinds: Kinds) -> Drawing:
    """How a UViT is guided: where it draws sets of objects, the same at all times, since the shape of an
    object is settled late; else by ``fading_guidance`` while there is noise."""
    if any(isinstance(kind, ObjectSet) for kind in kinds.values()):
        return replace(drawing, guidance=SETS_GUIDANCE, guided_from=0.0)
    return replace(drawing, guidance=fading_guidance(images))


def fading_guidance(images: int) -> float:
    """Guidance of classes for a UViT: it makes up for what training has not reached yet, and costs variety.

    scale − 1 = 3.2 · (images / 50,000)^−0.55, from 0.8 to 3 (docs/digits.md has the tables).
    """
    return round(1 + min(max(3.2 * (max(images, 1) / 50_000) ** -0.55, 0.8), 3.0), 1)


LARGE_SIDE = 64
"""From here on a UViT is another size, and trains on noises that lie further apart."""
LARGE = partial(UViT, finer=(48,), channels=96, width=192, mixers="aaaaa", heads=3)


def multiple(side: int) -> int:
    """What a UViT's sides near ``side`` must be multiples of: those of a token."""
    return 8 if side >= LARGE_SIDE else 4


def _uvit(
    shape: Shape,
    kinds: Kinds,
    prediction: Prediction | None = None,
    depth: int = 0,
    attends: bool = True,
) -> Denoiser:
    size = LARGE if _is_large(shape) else UViT
    network = size(shape, kinds, depth=depth, attends=attends)
    return Denoiser(network, Flow(), prediction or PreconditionedPrediction(), kinds)


def _uvit_times(shape: Shape) -> TimeSampling:
    """What large images show, and their grain, are settled at noises that lie further apart."""
    return LogitNormal(std=1.0 if _is_large(shape) else 0.75)


def _is_large(shape: Shape) -> bool:
    return min(shape[1:]) >= LARGE_SIDE


def _uvit_optimizers(denoiser: Denoiser) -> Optimizers:
    assert isinstance(denoiser.network, UViT)
    return muon_and_adamw(denoiser, denoiser.network.hidden_matrices())


TABLE = 1000
"""Steps of a U-Net's table of noise, as DDPM and its descendants have them."""

SMALLEST = 7
"""Side of the images at a U-Net's lowest level, or a little more."""


def unet_shape(shape: Shape, kinds: Kinds) -> UNetShape:
    """A U-Net that a CPU can train: 32, 64, 128, 128, … channels, attention at sides up to 16."""
    channels, side, _ = shape
    sides = [side]
    while sides[-1] % 2 == 0 and sides[-1] // 2 >= SMALLEST:
        sides.append(sides[-1] // 2)
    return UNetShape(
        channels=channels,
        widths=tuple(min(32 * 2**level, 128) for level in range(len(sides))),
        attention=tuple(each <= 16 for each in sides),
        classes=_sizes(kinds, ClassLabel),
        sets=_sizes(kinds, ObjectSet),
        groups=8,
    )


def _sizes(kinds: Kinds, of: type[ClassLabel] | type[ObjectSet]) -> dict[str, int]:
    return {name: kind.size for name, kind in kinds.items() if isinstance(kind, of)}


def _report_unet(shape: Shape, kinds: Kinds) -> Denoiser:
    if shape[1] % 16:
        raise UserError(
            f"--network report-unet takes sides that are multiples of 16, not {shape[1]}."
        )
    parts = UNetShape(
        channels=shape[0],
        widths=(64, 128, 256, 256),
        attention=tuple(shape[1] // 2**level <= 32 for level in range(4)),
        blocks=1,
        classes=_sizes(kinds, ClassLabel),
        sets=_sizes(kinds, ObjectSet),
    )
    return Denoiser(InSteps(UNet(parts), TABLE), linear_betas(TABLE), NoisePrediction(), kinds)


def _unet(shape: Shape, kinds: Kinds) -> Denoiser:
    network = InSteps(UNet(unet_shape(shape, kinds)), TABLE)
    return Denoiser(network, cosine_betas(TABLE), VelocityPrediction(), kinds)


PUBLISHED_STEPS = 400


def _context_unet(shape: Shape, kinds: Kinds) -> Denoiser:
    if set(kinds) != {CLASS}:
        raise UserError(
            "--network context-unet knows one class an image and nothing else; take uvit."
        )
    classes = kinds[CLASS].size
    return as_published(
        ContextUnet(in_channels=shape[0], classes=classes, bottleneck=shape[1] // 4)
    )


def as_published(network: ContextUnet) -> Denoiser:
    """A ContextUnet with the schedule, prediction and condition of the public script."""
    kinds = {"class": ClassLabel(network.classes)}
    return Denoiser(network, script_betas(PUBLISHED_STEPS), NoisePrediction(), kinds)


UVIT = Design(
    build=_uvit,
    optimizers=_uvit_optimizers,
    rate=warmup_then_linear,
    times=_uvit_times,
    batch_size=64,
    ema=0.995,
    drawing=Drawing(),
    adapted=guided,
)

DESIGNS: dict[str, Design] = {
    "uvit": UVIT,
    # What diffusers can load: velocity along a table of 1000 steps, min-SNR weighting.
    "unet": Design(
        build=_unet,
        optimizers=lambda denoiser: adam(denoiser, 1e-3),
        rate=warmup_then_linear,
        times=lambda shape: UniformSteps(TABLE),
        batch_size=32,
        ema=0.995,
        drawing=Drawing(
            "dpm-solver++", 15, spacing="trailing", guided_from=0.0, start=1.0, clip=None
        ),
        weighting=MinSnr(),
    ),
    # The report's: 64-128-256 with attention at sides 32, 16 and 8, noise along 1000 linear betas, w = 2.
    "report-unet": Design(
        build=_report_unet,
        optimizers=lambda denoiser: adam(denoiser, 3e-4),
        rate=lambda progress: 1.0,
        times=lambda shape: UniformSteps(TABLE),
        batch_size=32,
        ema=0.995,
        drawing=Drawing(
            "dpm-solver++",
            15,
            spacing="trailing",
            guidance=3.0,
            guided_from=0.0,
            start=1.0,
            clip=1.0,
        ),
    ),
    # The published recipe: T = 400, Adam 1e-4 with linear decay, batch 256, no EMA, w = 2.
    "context-unet": Design(
        build=_context_unet,
        optimizers=lambda denoiser: adam(denoiser, 1e-4),
        rate=linear_decay,
        times=lambda shape: UniformSteps(PUBLISHED_STEPS),
        batch_size=256,
        ema=0.0,
        needs_classes=True,
        drawing=Drawing(
            "ddpm", PUBLISHED_STEPS, guidance=3.0, guided_from=0.0, start=1.0, clip=None
        ),
    ),
}

VARIATIONS = {
    **{f"summed-{depth}": partial(_uvit, depth=depth, attends=False) for depth in range(3)},
    "velocity": partial(_uvit, prediction=FlowPrediction()),
    "image": partial(_uvit, prediction=ImagePrediction()),
    "noise": partial(_uvit, prediction=NoisePrediction()),
}
"""What a study compares a UViT with: sets of objects as one summed vector, and what its output means."""
DESIGNS |= {f"uvit-{name}": replace(UVIT, build=build) for name, build in VARIATIONS.items()}
