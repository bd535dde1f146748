"""Drawing images of classes from a generator: per-image noise, batches by class, threads by batch."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
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
    ddim,
    ddpm,
    dpm_solver_2m,
    guide,
    uniform_times,
)
from marmor.recipes.designs import Drawing
from marmor.recipes.models import Generator
from marmor.training import Precision, autocast, resolve

SOLVERS = {"dpm-solver++": dpm_solver_2m, "ddim": ddim, "ddpm": ddpm}


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


@dataclass(frozen=True)
class Wishes:
    """How a person wants images drawn; what is left out stays as the model has it.

    Args:
        solver: dpm-solver++, ddim or ddpm.
        steps: network calls an image.
        eta: fresh noise at each step, from 0 (none) to 1 (as much as DDPM); ddpm has no choice.
        guidance: scale; 1 is none, the papers' w is scale − 1.
    """

    solver: str | None = None
    steps: int | None = None
    eta: float | None = None
    guidance: float | None = None


def changed(drawing: Drawing, wishes: Wishes) -> Drawing:
    """A model's way of drawing with a person's wishes in it; UserError for what cannot be."""
    if wishes.solver is not None and wishes.solver not in SOLVERS:
        raise unknown_name("solver", wishes.solver, SOLVERS)
    if wishes.steps is not None and wishes.steps < 1:
        raise UserError(f"--steps must be at least 1, not {wishes.steps}.")
    if wishes.guidance is not None and not math.isfinite(wishes.guidance):
        raise UserError(f"--guidance must be a finite number, not {wishes.guidance}.")
    if wishes.eta is not None and not 0 <= wishes.eta <= 1:
        raise UserError(f"--eta must lie between 0 and 1, not {wishes.eta}.")
    given = {key: value for key, value in asdict(wishes).items() if value is not None}
    if "eta" in given and given.get("solver", drawing.solver) == "ddpm":
        raise UserError("--eta is for dpm-solver++ and ddim; ddpm always draws fresh noise.")
    return replace(drawing, **given)


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
    jobs = [
        (name, range(first, min(first + batch, per_class)))
        for name in _known(classes, generator)
        for first in range(0, per_class, batch)
    ]

    def finish(job: tuple[str, range]) -> Tensor:
        return _last(states(generator, *job, seed=seed, precision=precision))

    drawn: list[Drawn] = []
    threads = torch.get_num_threads() if _device(generator).type == "cpu" else 1
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        finished = pool.map(finish, jobs)
        try:
            for done, (x, (name, numbers)) in enumerate(zip(finished, jobs, strict=True), start=1):
                images = zip(numbers, to_bytes(x).cpu(), strict=True)
                drawn += [Drawn(name, number + 1, image) for number, image in images]
                if watch is not None:
                    watch(done / len(jobs))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return drawn


@torch.inference_mode()
def states(
    generator: Generator,
    class_name: str,
    numbers: Sequence[int],
    seed: int,
    precision: Precision = "auto",
) -> Iterator[State]:
    """Every state of the images ``numbers`` of one class, the starting noise first."""
    how, device = generator.drawing, _device(generator)
    streams = [torch_stream(seed, "image", class_name, number) for number in numbers]

    def noise(shape: torch.Size | tuple[int, ...]) -> Tensor:
        drawn = [torch.randn(shape, generator=stream) for stream in streams]
        return torch.stack(drawn).to(device)

    label = generator.class_names.index(class_name)
    conditions = {"class": torch.full((len(streams),), label, device=device)}
    denoise = _bound(generator, conditions, precision)
    times = uniform_times(how.steps, how.start)
    x = noise(generator.image_shape)
    yield State(times[0], x, torch.zeros_like(x))
    solver, schedule = SOLVERS[how.solver], generator.denoiser.schedule
    options = {} if how.solver == "ddpm" else {"eta": how.eta}
    yield from solver(
        denoise, x, times, schedule, draw=lambda like: noise(tuple(like.shape[1:])), **options
    )


def as_images(drawn: list[Drawn], generator: Generator) -> ImageSet:
    """Drawn images with the classes that were asked, as a set."""
    asked = [generator.class_names.index(item.class_name) for item in drawn]
    return ImageSet(
        images=torch.stack([item.image for item in drawn]),
        labels={"class": torch.tensor(asked)},
        class_names=generator.class_names,
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


def _bound(
    generator: Generator, conditions: Conditions, precision: Precision
) -> Callable[[Tensor, Tensor], Estimate]:
    """The guided, clipped denoiser of these conditions, as samplers take it."""
    how, denoiser, device = generator.drawing, generator.denoiser, _device(generator)
    number_format = resolve(precision, device)

    def in_precision(x: Tensor, t: Tensor, conditions: Conditions) -> Estimate:
        with autocast(number_format, device):
            return denoiser(x, t, conditions)

    guidance = Guidance(how.guidance, how.guided_from, how.guided_to)
    denoise = guide(in_precision, denoiser.kinds, guidance)
    if how.clip is not None:
        denoise = clip(denoise, denoiser.schedule, how.clip)
    return lambda x, t: denoise(x, t, conditions)


def _device(generator: Generator) -> torch.device:
    return next(generator.denoiser.parameters()).device


def _known(classes: Sequence[str], generator: Generator) -> Sequence[str]:
    for name in classes:
        if name not in generator.class_names:
            raise unknown_name("class", name, generator.class_names)
    return classes


def _last(steps: Iterator[State]) -> Tensor:
    x = torch.empty(0)
    for state in steps:
        x = state.x
    return x
