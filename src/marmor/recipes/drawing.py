"""Drawing images from a generator: per-image noise, batches of what is asked together, threads by batch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from PIL import Image, PngImagePlugin
from torch import Tensor

from marmor.base.conditions import Conditions
from marmor.base.cores import on_cores
from marmor.base.errors import unknown_name
from marmor.base.files import atomic, inside
from marmor.base.pixels import to_bytes
from marmor.base.progress import progress_bar
from marmor.base.seeds import torch_stream
from marmor.data import REMARK, ImageSet
from marmor.diffusion import (
    Estimate,
    Guidance,
    State,
    clip,
    guide,
    steer,
    threshold,
)
from marmor.recipes.asking import Ask
from marmor.recipes.generators import Generator
from marmor.recipes.wishes import SOLVERS, options_of, times_of
from marmor.training import Precision, autocast, resolve


@dataclass(frozen=True)
class Drawn:
    """One finished image: what was asked for, and uint8 (C, H, W)."""

    ask: Ask
    image: Tensor


def draw(
    generator: Generator,
    asks: Sequence[Ask],
    seed: int,
    precision: Precision = "auto",
    batch: int = 50,
    watch: Callable[[float], object] = lambda share: None,
) -> list[Drawn]:
    """The images asked for, in order.

    Each is drawn from noise of its own, (seed, its stream), in batches that hold one group only: it does not
    depend on what else is asked. Each batch runs on one thread, so the result does not depend on
    the number of cores either.
    """
    jobs = [
        together[first : first + batch]
        for together in (list(group) for _, group in groupby(asks, lambda ask: ask.group))
        for first in range(0, len(together), batch)
    ]

    def finish(job: Sequence[Ask]) -> list[Drawn]:
        x = _last(states(generator, job, seed, precision))
        pixels = to_bytes(x, generator.drawing.black).cpu()
        return [Drawn(ask, image) for ask, image in zip(job, pixels, strict=True)]

    threads = None if device_of(generator).type == "cpu" else 1
    finished = on_cores(finish, jobs, watch, threads)
    return [drawn for part in finished for drawn in part]


def states(
    generator: Generator, asks: Sequence[Ask], seed: int, precision: Precision = "auto"
) -> Iterator[State]:
    """Every state of the images asked for, the starting noise first."""
    device = device_of(generator)
    streams = [torch_stream(seed, *ask.stream) for ask in asks]

    def noise(like: Tensor) -> Tensor:
        drawn = [torch.randn(like.shape[1:], generator=stream) for stream in streams]
        return torch.stack(drawn).to(device)

    x = noise(torch.empty(len(streams), *generator.image_shape))
    conditions = conditions_of(generator, [ask.said for ask in asks])
    times = times_of(generator.drawing, generator.denoiser.schedule)
    return trajectory(generator, x, conditions, times, noise, precision)


@torch.inference_mode()
def trajectory(
    generator: Generator,
    x: Tensor,
    conditions: Conditions,
    times: Sequence[float],
    draw: Callable[[Tensor], Tensor] = torch.randn_like,
    precision: Precision = "auto",
) -> Iterator[State]:
    """Every state on the way from the noise x (B, C, H, W), which comes first, along ``times``."""
    how, schedule = generator.drawing, generator.denoiser.schedule
    x = x.to(device_of(generator))
    denoise = bound(generator, conditions, precision)
    yield State(times[0], x, torch.zeros_like(x))
    yield from SOLVERS[how.solver](denoise, x, times, schedule, draw, **options_of(how))


def conditions_of(generator: Generator, said: Sequence[Mapping[str, Tensor]]) -> Conditions:
    """What each image of a batch is asked to show, encoded; what nobody says is "none".

    Raises UserError where a model has no "none" for what is left out.
    """
    encoded: Conditions = {}
    for name, kind in generator.denoiser.kinds.items():
        rows = [kind.encode(one[name][None]) if name in one else kind.none(1) for one in said]
        encoded[name] = torch.cat(rows).to(device_of(generator))
    return encoded


def as_images(drawn: list[Drawn], generator: Generator) -> ImageSet:
    """Drawn images as a set, labelled with what was asked for; notes say what must be known of them."""
    images = torch.stack([item.image for item in drawn])
    vocabulary = {
        column: names
        for column, names in generator.vocabulary.items()
        if all(column in item.ask.said for item in drawn)
    }
    labels = {
        column: torch.stack([item.ask.said[column] for item in drawn]) for column in vocabulary
    }
    notes = (generator.remark,) if generator.remark else ()
    return ImageSet(images, labels, vocabulary, notes=notes)


def write_images(drawn: Sequence[Drawn], out: Path, remark: str = "") -> None:
    """Writes PNG files under the names that were asked for, each whole or absent.

    ``remark`` is what must be known of them; every file keeps it, and who reads them is told.
    """
    text = PngImagePlugin.PngInfo()
    if remark:
        text.add_text(REMARK, remark)
    for item in drawn:
        with atomic(inside(out, item.ask.file)) as temporary:
            picture(item.image).save(temporary, format="PNG", pnginfo=text)


def picture(image: Tensor) -> Image.Image:
    """uint8 (C, H, W), one or three channels → a Pillow image."""
    pixels = image.permute(1, 2, 0).numpy()
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def draw_with_bar(
    generator: Generator, asks: Sequence[Ask], seed: int, precision: Precision
) -> list[Drawn]:
    """``draw`` behind a progress bar."""
    with progress_bar("sampling") as bar:
        return draw(generator, asks, seed, precision, watch=bar)


def bound(
    generator: Generator, conditions: Conditions, precision: Precision
) -> Callable[[Tensor, Tensor], Estimate]:
    """The guided, steered, clipped denoiser of these conditions, as samplers take it."""
    how, denoiser, device = generator.drawing, generator.denoiser, device_of(generator)
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


def device_of(generator: Generator) -> torch.device:
    """Where the weights lie; noise and conditions must lie there too."""
    return next(generator.denoiser.parameters()).device


def _last(steps: Iterator[State]) -> Tensor:
    x = torch.empty(0)
    for state in steps:
        x = state.x
    return x
