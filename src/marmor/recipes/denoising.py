"""Drawing by removing noise: a denoiser that is ready to draw, and every state on its way."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from marmor.base.conditions import Conditions, Kinds
from marmor.base.errors import UserError, unknown_name
from marmor.base.seeds import torch_stream
from marmor.diffusion import (
    Denoiser,
    Estimate,
    Guidance,
    LogLikelihood,
    State,
    clip,
    guide,
    steer,
    threshold,
)
from marmor.networks.steps import InSteps
from marmor.networks.unet import UNet
from marmor.recipes.asking import Ask
from marmor.recipes.conditions import Vocabulary
from marmor.recipes.designs import Drawing
from marmor.recipes.generators import Generator
from marmor.recipes.wishes import SOLVERS, Wishes, changed, options_of, times_of
from marmor.training import Precision, autocast, resolve

STILL_STEPS = 50
"""Of DDIM, where images are to follow from their noise alone."""


@dataclass(frozen=True)
class Steering:
    """A judge that moves what is drawn towards what is asked for.

    Args:
        log_likelihood: what the judge says of images.
        scale: how strongly, 1 as Bayes' rule has it.
        remark: the sentence that tells it wherever its images are scored.
    """

    log_likelihood: LogLikelihood
    scale: float
    remark: str


@dataclass(frozen=True)
class DiffusionGenerator(Generator):
    """A denoiser, what it can be asked for, and how it is drawn from.

    Args:
        denoiser: in evaluation mode.
        vocabulary: for each condition, what can be asked for; {} for a model without any.
        image_shape: (C, H, W) of the images it was trained on.
        drawing: its own way of drawing.
        origin: where it comes from, as a person wrote it.
        sides: any sides that are multiples of this can be drawn; None: only those of image_shape.
        steering: a judge that steers its images; None for none.
    """

    denoiser: Denoiser
    vocabulary: Vocabulary
    image_shape: tuple[int, int, int]
    drawing: Drawing
    origin: str
    sides: int | None = None
    steering: Steering | None = None

    @property
    def module(self) -> Denoiser:
        return self.denoiser

    @property
    def kinds(self) -> Kinds:
        return self.denoiser.kinds

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return self.image_shape

    @property
    def calls(self) -> int:
        return self.drawing.steps

    @property
    def black(self) -> float:
        return self.drawing.black

    @property
    def remark(self) -> str:
        return self.steering.remark if self.steering else ""

    def finish(
        self,
        noise: Tensor,
        said: Sequence[Mapping[str, Tensor]],
        streams: Sequence[torch.Generator],
        precision: Precision,
    ) -> Tensor:
        x = noise
        for state in _along(self, noise, said, streams, precision):
            x = state.x
        return x

    def wished(self, wishes: Wishes) -> Self:
        return replace(self, drawing=changed(self.drawing, wishes))

    def still(self, steps: int | None) -> Self:
        quick = self.wished(Wishes(steps=STILL_STEPS if steps is None else steps))
        return replace(quick, drawing=replace(quick.drawing, solver="ddim", eta=0.0))

    def check_noise(self, noise: Tensor, where: str) -> None:
        channels, *sides = noise.shape[1:]
        wanted, *own = self.image_shape
        if channels != wanted:
            raise UserError(
                f"{where} has {channels} channels; {self.origin} draws images of {wanted}."
            )
        if self.sides is None and sides != own:
            raise UserError(
                f"{where} has {_by(sides)} places; {self.origin} draws {_by(own)} only."
            )
        if self.sides is not None and any(side % self.sides for side in sides):
            raise UserError(
                f"{where} has {_by(sides)} places; {self.origin} takes sides that are multiples of "
                f"{self.sides}."
            )


def sides_of(denoiser: Denoiser) -> int | None:
    """``sides`` of marmor's own networks: the U-Net alone draws other sides."""
    network = denoiser.network.network if isinstance(denoiser.network, InSteps) else None
    return network.multiple if isinstance(network, UNet) else None


def states(
    generator: DiffusionGenerator, asks: Sequence[Ask], seed: int, precision: Precision = "auto"
) -> Iterator[State]:
    """Every state of the images asked for, the starting noise first."""
    streams = [torch_stream(seed, *ask.stream) for ask in asks]
    noise = torch.stack([torch.randn(generator.noise_shape, generator=each) for each in streams])
    return _along(generator, noise, [ask.said for ask in asks], streams, precision)


@torch.inference_mode()
def trajectory(
    generator: DiffusionGenerator,
    x: Tensor,
    conditions: Conditions,
    times: Sequence[float],
    draw: Callable[[Tensor], Tensor] = torch.randn_like,
    precision: Precision = "auto",
) -> Iterator[State]:
    """Every state on the way from the noise x (B, C, H, W), which comes first, along ``times``."""
    how, schedule = generator.drawing, generator.denoiser.schedule
    x = x.to(generator.device)
    denoise = bound(generator, conditions, precision)
    yield State(times[0], x, torch.zeros_like(x))
    yield from SOLVERS[how.solver](denoise, x, times, schedule, draw, **options_of(how))


def bound(
    generator: DiffusionGenerator, conditions: Conditions, precision: Precision
) -> Callable[[Tensor, Tensor], Estimate]:
    """The guided, steered, clipped denoiser of these conditions, as samplers take it."""
    how, denoiser, device = generator.drawing, generator.denoiser, generator.device
    number_format = resolve(precision, device)

    def in_precision(x: Tensor, t: Tensor, conditions: Conditions) -> Estimate:
        with autocast(number_format, device):
            return denoiser(x, t, conditions)

    for name in how.guidance_apart:
        if name not in denoiser.kinds:
            raise unknown_name("condition", name, denoiser.kinds)
    guidance = Guidance(
        how.guidance, how.guided_from, how.guided_to, how.rescale, how.guidance_apart
    )
    denoise = guide(in_precision, denoiser.kinds, guidance, denoiser.schedule)
    if (by := generator.steering) is not None:
        # Before clipping, behind which values at the limit have no gradient.
        during = (how.guided_from, how.guided_to)
        denoise = steer(denoise, by.log_likelihood, by.scale, denoiser.schedule, *during)
    if how.clip is not None:
        denoise = clip(denoise, denoiser.schedule, how.clip, how.noise_follows)
    if how.threshold is not None:
        denoise = threshold(denoise, denoiser.schedule, how.threshold)
    return lambda x, t: denoise(x, t, conditions)


def _along(
    generator: DiffusionGenerator,
    noise: Tensor,
    said: Sequence[Mapping[str, Tensor]],
    streams: Sequence[torch.Generator],
    precision: Precision,
) -> Iterator[State]:
    """Every state from the noise on, each image with fresh noise from its own stream."""

    def fresh(like: Tensor) -> Tensor:
        drawn = [torch.randn(like.shape[1:], generator=stream) for stream in streams]
        return torch.stack(drawn).to(generator.device)

    times = times_of(generator.drawing, generator.denoiser.schedule)
    conditions = generator.conditions(said)
    return trajectory(generator, noise, conditions, times, fresh, precision)


def _by(sides: list[int]) -> str:
    return " × ".join(map(str, sides))
