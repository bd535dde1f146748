"""Pictures of what a generator draws: the grid of classes and the reverse process."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from marmor.base.errors import UserError
from marmor.base.pixels import to_bytes
from marmor.diffusion import Discrete
from marmor.figures import grid, save_png, strip
from marmor.recipes.drawing import Drawn, draw_with_bar, known, names_of, states
from marmor.recipes.generators import Generator
from marmor.training import Precision


def class_grid(drawn: Sequence[Drawn], columns: int) -> Image.Image:
    """A row for each class, its first ``columns`` images beside each other; of one class, a square."""
    names = list(dict.fromkeys(item.class_name for item in drawn))
    if len(names) == 1:
        return grid(torch.stack([item.image for item in drawn[: columns**2]]), columns)
    shown = [item.image for item in drawn if item.number <= columns]
    return grid(torch.stack(shown), columns, row_labels=names)


def process_strip(
    generator: Generator, class_name: str, seed: int, frames: int = 6, number: int = 0
) -> Image.Image:
    """How image ``number`` of a class is carved out of noise, in ``frames`` frames."""
    known(class_name, generator)
    most = generator.drawing.steps + 1
    if not 2 <= frames <= most:
        raise UserError(
            f"--frames must be between 2 and {most}, the states there are, not {frames}."
        )
    every = list(states(generator, class_name, [number], seed, "fp32"))
    chosen = [every[round(i * (len(every) - 1) / (frames - 1))] for i in range(frames)]
    pixels = to_bytes(torch.cat([state.x for state in chosen]), generator.drawing.black)
    return strip(pixels, [_time(generator, state.time) for state in chosen])


def grid_command(
    generator: Generator, out: Path, columns: int, seed: int, precision: Precision
) -> Path:
    """Draws the grid of all classes, or a square of images without any, and saves it."""
    each = columns if generator.class_names else columns**2
    drawn = draw_with_bar(generator, names_of(generator), each, seed, precision)
    save_png(class_grid(drawn, columns), out)
    return out


def _time(generator: Generator, time: float) -> str:
    """Steps count up to T in a discrete schedule; elsewhere time is a number in [0, 1]."""
    schedule = generator.denoiser.schedule
    if isinstance(schedule, Discrete):
        return f"t = {round(time * schedule.steps)}"
    return f"t = {time:.2f}"
