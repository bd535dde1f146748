"""From images back to the noise that a model draws them from (S4): `marmor invert`."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor

from marmor.base.conditions import Conditions
from marmor.base.errors import UserError
from marmor.base.files import atomic, inside
from marmor.base.pixels import to_bytes, to_unit
from marmor.base.progress import console, progress_bar
from marmor.data import ImageSet, read
from marmor.diffusion import Estimate, ddim, ddim_inversion
from marmor.figures import grid, save_png
from marmor.recipes.asking import said_class
from marmor.recipes.denoising import DiffusionGenerator, bound
from marmor.recipes.exploring import scale_of
from marmor.recipes.pixel_errors import squared_error, tell_errors
from marmor.recipes.wishes import Wishes, times_of
from marmor.training import Precision

SHOWN = 8


class Inverted(NamedTuple):
    """An image's noise (C, H, W), and the image that comes back from it, uint8."""

    name: str
    noise: Tensor
    back: Tensor


def invert(
    generator: DiffusionGenerator,
    spec: str,
    out: Path,
    steps: int,
    corrections: int,
    precision: Precision,
) -> None:
    """Writes the noise of each image as NAME.safetensors, the way back as a table and a picture."""
    if corrections < 0:
        raise UserError(f"--corrections must be at least 0, not {corrections}.")
    wishes = Wishes(solver="ddim", steps=steps, eta=0.0, guidance=1.0, clip=0.0)
    plain = generator.wished(wishes)
    times_of(plain.drawing, plain.denoiser.schedule)  # refuses what cannot be walked
    images = read(spec, "train")
    generator.check_noise(images.images, f"each image of {spec}")
    shows = [_conditions(plain, images, index) for index in range(len(images))]
    found: list[Inverted] = []
    with progress_bar("inverting") as bar:
        for index, (name, conditions) in enumerate(zip(_names(images), shows, strict=True)):
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
    generator: DiffusionGenerator,
    images: Tensor,
    conditions: Conditions,
    corrections: int,
    precision: Precision,
) -> tuple[Tensor, Tensor]:
    """The noise (B, C, H, W) of uint8 images, and what DDIM draws from it, uint8."""
    denoise: Callable[[Tensor, Tensor], Estimate] = bound(generator, conditions, precision)
    schedule = generator.denoiser.schedule
    times = times_of(generator.drawing, schedule)
    x = to_unit(images, generator.drawing.black).to(generator.device)
    for state in ddim_inversion(denoise, x, times, schedule, corrections):
        x = state.x
    noise = x
    for state in ddim(denoise, noise, times, schedule):
        x = state.x
    return noise.cpu(), to_bytes(x, generator.drawing.black).cpu()


def _names(images: ImageSet) -> list[str]:
    """File names without their ends, folders joined by _; numbers where there are none or two are alike."""
    names = [str(Path(name).with_suffix("")).replace("/", "_") for name in images.names]
    if len(set(names)) < len(images):
        return [f"{index:05d}" for index in range(len(images))]
    return names


def _conditions(generator: DiffusionGenerator, images: ImageSet, index: int) -> Conditions:
    """The class that an image is labelled with, where the model knows it; else nothing is said."""
    name = images.class_names[int(images.labels["class"][index])] if images.class_names else ""
    known = name in generator.class_names
    return generator.conditions([said_class(generator, name) if known else {}])


def _tell(images: Tensor, found: list[Inverted], out: Path) -> None:
    """Tells and writes how far the way back misses, and shows some images with what came back."""
    errors = {
        item.name: squared_error(image, item.back)
        for image, item in zip(images, found, strict=True)
    }
    tell_errors(errors, out / "inversion.csv")
    norms = [item.noise.norm().item() for item in found]
    usual = found[0].noise.numel() ** 0.5
    console.print(
        f"norm of the noises: {sum(norms) / len(norms):.1f} on average; {usual:.1f} is usual for noise"
    )
    shown = found[:SHOWN]
    both = torch.cat([images[: len(shown)], torch.stack([item.back for item in shown])])
    rows = ["image", "drawn from its noise"]
    save_png(grid(both, len(shown), scale_of(both), rows), out / "inversion.png")
    console.print(f"{len(found)} noises → {out}; picture: {out / 'inversion.png'}")
