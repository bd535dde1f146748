"""What noise means to a model (S4): `marmor eta-grid` and `marmor interpolate`."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from marmor.base.errors import UserError, unknown_name
from marmor.base.pixels import to_bytes
from marmor.base.progress import progress_bar
from marmor.base.seeds import torch_stream
from marmor.data import CLASS, Noises, read_noise, read_noises
from marmor.diffusion import lerp, slerp
from marmor.figures import grid, stack, strip
from marmor.recipes.asking import said_class
from marmor.recipes.denoising import DiffusionGenerator
from marmor.recipes.generators import Generator
from marmor.training import Precision

ETAS = (0.0, 0.25, 0.5, 0.75, 1.0)
WAYS: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {"slerp": slerp, "lerp": lerp}
DRAWN_NOISES = 4
"""Columns of an eta grid where nobody gives noises."""


@dataclass(frozen=True)
class Alphas:
    """Shares along the way between two noises, from ``first`` to ``last``."""

    first: float = 0.0
    last: float = 1.0
    step: float = 0.1

    @classmethod
    def parse(cls, text: str) -> "Alphas":
        """``0:1:0.1``; UserError for anything else, and for shares outside [0, 1]."""
        try:
            first, last, step = (float(part) for part in text.split(":"))
        except ValueError:
            raise UserError(
                f"--alphas {text!r} should be first:last:step, for example 0:1:0.1."
            ) from None
        if not 0 <= first < last <= 1 or not 0 < step <= last - first:
            raise UserError(
                f"--alphas {text!r} should rise within 0 and 1 by a step, for example 0:1:0.1."
            )
        return cls(first, last, step)

    def values(self) -> list[float]:
        count = int((self.last - self.first) / self.step + 1e-9)
        return [round(self.first + i * self.step, 9) for i in range(count + 1)]


def noise_of(spec: str, generator: Generator) -> Tensor:
    """One noise, float32: from a file, or drawn anew where ``spec`` is a whole number, its seed."""
    if spec.isdecimal():
        return torch.randn(generator.noise_shape, generator=torch_stream(int(spec), "noise"))
    noise = read_noise(Path(spec))
    generator.check_noise(noise[None], f"the noise {spec}")
    return noise


def noises_of(folder: Path | None, count: int | None, generator: Generator) -> Noises:
    """The first ``count`` noises of a folder, or all; those of the seeds 0, 1, … without a folder."""
    if count is not None and count < 1:
        raise UserError(f"--columns must be at least 1, not {count}.")
    if folder is None:
        names = [str(seed) for seed in range(count or DRAWN_NOISES)]
        return Noises(tuple(names), torch.stack([noise_of(name, generator) for name in names]))
    noises = read_noises(folder)
    generator.check_noise(noises.values, f"noise in {folder}")
    return Noises(noises.names[:count], noises.values[:count])


def eta_grid(
    generator: DiffusionGenerator,
    noises: Noises,
    class_name: str,
    etas: Sequence[float] = ETAS,
    seed: int = 0,
    precision: Precision = "auto",
) -> Image.Image:
    """DDIM from the same noises with more and more fresh noise: a row for each eta."""
    check_classes(generator)
    rows: list[Tensor] = []
    with progress_bar("sampling") as bar:
        for done, eta in enumerate(etas):
            how = replace(generator.drawing, solver="ddim", eta=eta)
            stirred = replace(generator, drawing=how)
            rows.append(from_noises(stirred, noises, class_name, seed, precision))
            bar((done + 1) / len(etas))
    pixels = to_bytes(torch.cat(rows), generator.drawing.black)
    labels = [f"η = {eta:g}" for eta in etas]
    return grid(pixels, len(noises.names), scale_of(pixels), labels, noises.names)


def interpolation(
    generator: Generator,
    ends: tuple[Tensor, Tensor],
    class_name: str,
    shares: Sequence[float],
    ways: Iterable[str],
    steps: int | None = None,
    precision: Precision = "auto",
) -> Image.Image:
    """Images between two noises, one strip a way, the norm of each noise under its image.

    Drawn without fresh noise, by DDIM in ``steps`` where it takes steps; every image shows the same class.
    The norms explain the pictures: independent noises are nearly perpendicular, so the straight way loses
    norm in the middle, and what is no longer as long as noise the network does not take for noise.
    """
    check_classes(generator)
    still = generator.still(steps)
    if ends[0].shape != ends[1].shape:
        raise UserError(
            f"between noises of {tuple(ends[0].shape)} and {tuple(ends[1].shape)} there is no way; "
            "give two of one size."
        )
    strips: list[Image.Image] = []
    with progress_bar("sampling") as bar:
        ways = list(ways)
        for done, name in enumerate(ways):
            between = torch.stack([WAYS[name](*ends, share) for share in shares])
            names = tuple(f"{share:g}" for share in shares)
            x = from_noises(still, Noises(names, between), class_name, 0, precision)
            captions = [
                f"{name} {share:g}\n‖x‖ = {noise.norm():.1f}"
                for share, noise in zip(shares, between, strict=True)
            ]
            pixels = to_bytes(x, generator.black)
            strips.append(strip(pixels, captions, scale=scale_of(x)))
            bar((done + 1) / len(ways))
    return stack(strips)


def check_classes(generator: Generator) -> None:
    """UserError for a model that is asked for more than a class, which these pictures would leave unsaid."""
    if others := [name for name in generator.vocabulary if name != CLASS]:
        raise UserError(
            f"{generator.origin} is also asked for {' and '.join(others)}, and these pictures are for models "
            "of classes or of nothing; name such a model."
        )


def check_ways(text: str) -> list[str]:
    """``slerp,lerp`` → names of ways; UserError for one that is unknown."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in WAYS:
            raise unknown_name("method", name, WAYS)
    return names


def from_noises(
    generator: Generator, noises: Noises, class_name: str, seed: int, precision: Precision
) -> Tensor:
    """The images (N, C, H, W) that a model's own way of drawing reaches from each noise.

    One at a time, each with fresh noise of its own where its way asks for some, so that an image
    depends on nothing but its own noise.
    """
    said = said_class(generator, class_name)
    finished = [
        generator.finish(noise[None], [said], [torch_stream(seed, "fresh", name)], precision)
        for name, noise in zip(noises.names, noises.values, strict=True)
    ]
    return torch.cat(finished).cpu()


def scale_of(images: Tensor, wanted: int = 112) -> int:
    """How much to enlarge images so that small ones are seen."""
    return max(1, round(wanted / max(images.shape[2:])))
