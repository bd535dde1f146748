"""Pictures of what a generator draws: the grid of classes and the reverse process."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from marmor.base.errors import UserError
from marmor.base.pixels import to_bytes
from marmor.data import SHOWS
from marmor.diffusion import Discrete
from marmor.figures import grid, save_png, strip
from marmor.recipes.asking import Ask, asked
from marmor.recipes.denoising import DiffusionGenerator, states
from marmor.recipes.drawing import Drawn, draw_with_bar
from marmor.recipes.generators import Generator

COLUMNS = 10
"""Images of each class in a grid, where nobody says how many."""
SCENES_A_ROW = 8


def class_grid(drawn: Sequence[Drawn], columns: int) -> Image.Image:
    """A row for each group, its first ``columns`` images beside each other; of one group, all in rows."""
    groups = list(dict.fromkeys(item.ask.group for item in drawn))
    if len(groups) == 1:
        return grid(torch.stack([item.image for item in drawn]), columns)
    shown = [item.image for item in drawn if item.ask.number <= columns]
    places = {group.rpartition("/")[0] for group in groups}
    labels = groups if len(places) > 1 else [group.rpartition("/")[2] for group in groups]
    return grid(torch.stack(shown), columns, row_labels=labels)


def process_strip(
    generator: DiffusionGenerator, ask: Ask, seed: int, frames: int = 6
) -> Image.Image:
    """How one image is carved out of noise, in ``frames`` frames."""
    most = generator.drawing.steps + 1
    if not 2 <= frames <= most:
        raise UserError(
            f"--frames must be between 2 and {most}, the states there are, not {frames}."
        )
    every = list(states(generator, [ask], seed, "fp32"))
    chosen = [every[round(i * (len(every) - 1) / (frames - 1))] for i in range(frames)]
    pixels = to_bytes(torch.cat([state.x for state in chosen]), generator.drawing.black)
    return strip(pixels, [_time(generator, state.time) for state in chosen])


def grid_command(
    generator: Generator,
    columns: int | None,
    domain: str,
    spec: Path | None,
    seed: int,
    out: Path,
) -> Path:
    """Draws what is asked for and saves it: a row for each group, or rows of ``columns`` of one group.

    Raises UserError, before anything is drawn, for less than a column and what cannot be asked for.
    """
    scenes = SHOWS in generator.vocabulary
    if columns is None:
        columns = SCENES_A_ROW if scenes else COLUMNS
    if columns < 1:
        raise UserError(f"--columns must be at least 1, not {columns}.")
    each = columns if generator.class_names else columns**2
    asks = asked(generator, None if scenes else each, domain=domain, spec=spec)
    drawn = draw_with_bar(generator, asks, seed, "auto")
    save_png(class_grid(drawn, columns), out)
    return out


def _time(generator: DiffusionGenerator, time: float) -> str:
    """Steps count up to T in a discrete schedule; elsewhere time is a number in [0, 1]."""
    schedule = generator.denoiser.schedule
    if isinstance(schedule, Discrete):
        return f"t = {round(time * schedule.steps)}"
    return f"t = {time:.2f}"
