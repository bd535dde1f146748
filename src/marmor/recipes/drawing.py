"""Drawing images of classes from a generator: per-image noise, batches by class, threads by batch."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from marmor.base.conditions import Conditions
from marmor.base.errors import UserError, unknown_name
from marmor.base.files import atomic, inside
from marmor.base.pixels import to_bytes
from marmor.base.progress import Bar, progress_bar
from marmor.base.seeds import torch_stream
from marmor.data import ImageSet
from marmor.diffusion import (
    Estimate,
    Guidance,
    State,
    clip,
    guide,
    threshold,
)
from marmor.recipes.generators import Generator
from marmor.recipes.wishes import SOLVERS, options_of, times_of
from marmor.training import Precision, autocast, resolve

UNNAMED = "image"
"""What images are called that were drawn by a model without classes."""


@dataclass(frozen=True)
class Drawn:
    """One finished image: uint8 (C, H, W)."""

    class_name: str
    number: int
    image: Tensor

    @property
    def file_name(self) -> str:
        """``<class>_<nnn>.png``, numbered from 1."""
        return f"{self.class_name}_{self.number:03d}.png"


def draw(
    generator: Generator,
    classes: Sequence[str],
    per_class: int,
    seed: int,
    precision: Precision = "auto",
    batch: int = 50,
    watch: Bar | None = None,
) -> list[Drawn]:
    """``per_class`` images of each class, in order.

    Image k of a class is drawn from noise of its own, (seed, class, k), in batches that hold one
    class only: it does not depend on which other classes are asked. Each batch runs on one thread,
    so the result does not depend on the number of cores either.
    """
    if per_class < 1:
        raise UserError(f"at least 1 image of each class can be drawn, not {per_class}.")
    for name in classes:
        known(name, generator)
    jobs = [
        (name, range(first, min(first + batch, per_class)))
        for name in classes
        for first in range(0, per_class, batch)
    ]

    def finish(job: tuple[str, range]) -> Tensor:
        return _last(states(generator, *job, seed=seed, precision=precision))

    drawn: list[Drawn] = []
    threads = torch.get_num_threads() if device_of(generator).type == "cpu" else 1
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        finished = pool.map(finish, jobs)
        try:
            for done, (x, (name, numbers)) in enumerate(zip(finished, jobs, strict=True), start=1):
                images = zip(numbers, to_bytes(x, generator.drawing.black).cpu(), strict=True)
                drawn += [Drawn(name, number + 1, image) for number, image in images]
                if watch is not None:
                    watch(done / len(jobs))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return drawn


def states(
    generator: Generator,
    class_name: str,
    numbers: Sequence[int],
    seed: int,
    precision: Precision = "auto",
) -> Iterator[State]:
    """Every state of the images ``numbers`` of one class, the starting noise first."""
    device = device_of(generator)
    streams = [torch_stream(seed, "image", class_name, number) for number in numbers]

    def noise(like: Tensor) -> Tensor:
        drawn = [torch.randn(like.shape[1:], generator=stream) for stream in streams]
        return torch.stack(drawn).to(device)

    x = noise(torch.empty(len(streams), *generator.image_shape))
    conditions = conditions_of(generator, class_name, len(streams))
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


def conditions_of(generator: Generator, class_name: str, count: int) -> Conditions:
    """``count`` times the same class; nothing for a model without classes, which has one name only."""
    label = known(class_name, generator)
    if not generator.class_names:
        return {}
    return {"class": torch.full((count,), label, device=device_of(generator))}


def as_images(drawn: list[Drawn], generator: Generator) -> ImageSet:
    """Drawn images with the classes that were asked, where there are classes, as a set."""
    images = torch.stack([item.image for item in drawn])
    if not generator.class_names:
        return ImageSet(images)
    asked = [generator.class_names.index(item.class_name) for item in drawn]
    return ImageSet(
        images=images,
        labels={"class": torch.tensor(asked)},
        vocabulary={"class": generator.class_names},
    )


def write_images(drawn: Sequence[Drawn], out: Path) -> None:
    """Writes PNG files named ``<class>_<nnn>.png``, each whole or absent."""
    for item in drawn:
        with atomic(inside(out, item.file_name)) as temporary:
            picture(item.image).save(temporary, format="PNG")


def picture(image: Tensor) -> Image.Image:
    """uint8 (C, H, W), one or three channels → a Pillow image."""
    pixels = image.permute(1, 2, 0).numpy()
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def draw_with_bar(
    generator: Generator, classes: Sequence[str], per_class: int, seed: int, precision: Precision
) -> list[Drawn]:
    """``draw`` behind a progress bar."""
    with progress_bar("sampling") as bar:
        return draw(generator, classes, per_class, seed, precision, watch=bar)


def bound(
    generator: Generator, conditions: Conditions, precision: Precision
) -> Callable[[Tensor, Tensor], Estimate]:
    """The guided, clipped denoiser of these conditions, as samplers take it."""
    how, denoiser, device = generator.drawing, generator.denoiser, device_of(generator)
    number_format = resolve(precision, device)

    def in_precision(x: Tensor, t: Tensor, conditions: Conditions) -> Estimate:
        with autocast(number_format, device):
            return denoiser(x, t, conditions)

    guidance = Guidance(how.guidance, how.guided_from, how.guided_to, how.rescale)
    denoise = guide(in_precision, denoiser.kinds, guidance, denoiser.schedule)
    if how.clip is not None:
        denoise = clip(denoise, denoiser.schedule, how.clip, how.noise_follows)
    if how.threshold is not None:
        denoise = threshold(denoise, denoiser.schedule, how.threshold)
    return lambda x, t: denoise(x, t, conditions)


def device_of(generator: Generator) -> torch.device:
    """Where the weights lie; noise and conditions must lie there too."""
    return next(generator.denoiser.parameters()).device


def names_of(generator: Generator) -> tuple[str, ...]:
    """What can be asked for; one name for all images of a model without classes."""
    return generator.class_names or (UNNAMED,)


def known(class_name: str, generator: Generator) -> int:
    """The index of a class; UserError with the nearest name where the model has no such class."""
    if class_name not in names_of(generator):
        raise unknown_name("class", class_name, names_of(generator))
    return names_of(generator).index(class_name)


def _last(steps: Iterator[State]) -> Tensor:
    x = torch.empty(0)
    for state in steps:
        x = state.x
    return x
