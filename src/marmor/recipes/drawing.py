"""Drawing images from a generator: per-image noise, batches of what is asked together, threads by batch."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from PIL import Image, PngImagePlugin
from torch import Tensor

from marmor.base.cores import on_cores
from marmor.base.files import atomic, inside
from marmor.base.pixels import to_bytes
from marmor.base.progress import progress_bar
from marmor.base.seeds import torch_stream
from marmor.data import REMARK, ImageSet
from marmor.recipes.asking import Ask
from marmor.recipes.generators import Generator
from marmor.training import Precision


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
    [drawn] = draw_over(generator, asks, [seed], precision, batch, watch)
    return drawn


def draw_over(
    generator: Generator,
    asks: Sequence[Ask],
    seeds: Sequence[int],
    precision: Precision = "auto",
    batch: int = 50,
    watch: Callable[[float], object] = lambda share: None,
) -> list[list[Drawn]]:
    """The same images from each seed as ``draw`` draws; the cores share the batches of all seeds."""
    batches = [
        together[first : first + batch]
        for together in (list(group) for _, group in groupby(asks, lambda ask: ask.group))
        for first in range(0, len(together), batch)
    ]

    def finish(job: tuple[int, Sequence[Ask]]) -> list[Drawn]:
        seed, asked = job
        streams = [torch_stream(seed, *ask.stream) for ask in asked]
        noise = [torch.randn(generator.noise_shape, generator=stream) for stream in streams]
        said = [ask.said for ask in asked]
        x = generator.finish(torch.stack(noise), said, streams, precision)
        pixels = to_bytes(x, generator.black).cpu()
        return [Drawn(ask, image) for ask, image in zip(asked, pixels, strict=True)]

    threads = None if generator.device.type == "cpu" else 1
    jobs = list(itertools.product(seeds, batches))
    finished = iter(on_cores(finish, jobs, watch, threads))
    return [[drawn for _ in batches for drawn in next(finished)] for _ in seeds]


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
