"""From images back to the noise that a model draws them from (S4): `marmor invert`."""

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from rich.table import Table
from safetensors.torch import save_file
from torch import Tensor

from marmor.base.conditions import Conditions
from marmor.base.errors import UserError
from marmor.base.files import atomic, inside, write_text
from marmor.base.pixels import to_bytes, to_unit
from marmor.base.progress import console, progress_bar
from marmor.data import ImageSet, read
from marmor.diffusion import Estimate, ddim, ddim_inversion
from marmor.figures import grid, save_png
from marmor.recipes.drawing import bound
from marmor.recipes.generators import Generator, check_noise
from marmor.recipes.wishes import times_of
from marmor.training import Precision

SHOWN = 8


class Inverted(NamedTuple):
    """An image's noise (C, H, W), and the image that comes back from it, uint8."""

    name: str
    noise: Tensor
    back: Tensor


def invert(
    generator: Generator,
    spec: str,
    out: Path,
    steps: int,
    corrections: int,
    precision: Precision,
) -> None:
    """Writes the noise of each image as NAME.safetensors, the way back as a table and a picture."""
    if corrections < 0:
        raise UserError(f"--corrections must be at least 0, not {corrections}.")
    images = read(spec, "train")
    check_noise(generator, images.images, spec)
    how = replace(generator.drawing, solver="ddim", steps=steps, eta=0.0, guidance=1.0, clip=None)
    plain = replace(generator, drawing=how)
    found: list[Inverted] = []
    with progress_bar("inverting") as bar:
        for index, name in enumerate(_names(images)):
            conditions = _conditions(plain, images, index)
            noise, back = there_and_back(
                plain, images.images[index : index + 1], conditions, corrections, precision
            )
            found.append(Inverted(name, noise[0], back[0]))
            with atomic(inside(out, f"{name}.safetensors")) as temporary:
                save_file({"noise": noise[0].contiguous()}, temporary)
            bar((index + 1) / len(images))
    _tell(images.images, found, out)


@torch.inference_mode()
def there_and_back(
    generator: Generator,
    images: Tensor,
    conditions: Conditions,
    corrections: int,
    precision: Precision,
) -> tuple[Tensor, Tensor]:
    """The noise (B, C, H, W) of uint8 images, and what DDIM draws from it, uint8."""
    denoise: Callable[[Tensor, Tensor], Estimate] = bound(generator, conditions, precision)
    schedule = generator.denoiser.schedule
    times = times_of(generator.drawing, schedule)
    x = to_unit(images)
    for state in ddim_inversion(denoise, x, times, schedule, corrections):
        x = state.x
    noise = x
    for state in ddim(denoise, noise, times, schedule):
        x = state.x
    return noise, to_bytes(x)


def _names(images: ImageSet) -> list[str]:
    """File names without their ends, or numbers."""
    if not images.names:
        return [f"{index:05d}" for index in range(len(images))]
    return [str(Path(name).with_suffix("")) for name in images.names]


def _conditions(generator: Generator, images: ImageSet, index: int) -> Conditions:
    """The class that an image is labelled with, where the model knows it; else nothing is said."""
    kinds = generator.denoiser.kinds
    if "class" not in kinds:
        return {}
    name = images.class_names[int(images.labels["class"][index])] if images.labels else ""
    if name not in generator.class_names:
        return {"class": kinds["class"].none(1)}
    return {"class": torch.tensor([generator.class_names.index(name)])}


def _tell(images: Tensor, found: list[Inverted], out: Path) -> None:
    """Prints and writes how far the way back misses, and shows some images with what came back."""
    table = Table("image", "mean squared error (0 … 255)", "norm of the noise", box=None)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["image", "mse", "norm"])
    errors = []
    for image, item in zip(images, found, strict=True):
        errors.append((image.double() - item.back.double()).square().mean().item())
        norm = item.noise.norm().item()
        writer.writerow([item.name, errors[-1], norm])
        table.add_row(item.name, f"{errors[-1]:.4f}", f"{norm:.1f}")
    table.add_row("mean", f"{sum(errors) / len(errors):.4f}", "")
    console.print(table)
    write_text(out / "inversion.csv", text.getvalue())
    shown = found[:SHOWN]
    both = torch.cat([images[: len(shown)], torch.stack([item.back for item in shown])])
    rows = ["image", "drawn from its noise"]
    save_png(grid(both, len(shown), row_labels=rows), out / "inversion.png")
    console.print(f"{len(found)} noises → {out}; {out / 'inversion.csv'}, {out / 'inversion.png'}")
