"""Commands that draw from a model."""

from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from marmor.base.progress import console
from marmor.cli.arguments import Data, How, Spec, Steered
from marmor.data import SHOWS
from marmor.recipes import ddim as ddim_recipe
from marmor.recipes import exploring, inverting, pictures
from marmor.recipes.asking import ask_one, asked, names_of, write_asked
from marmor.recipes.denoising import STILL_STEPS
from marmor.recipes.drawing import draw_with_bar, write_images
from marmor.recipes.models import load_diffusion, load_generator
from marmor.recipes.steering import UNSTEERED, steered
from marmor.recipes.wishes import UNCHANGED, Wishes
from marmor.training import Precision


def sample(
    model: Positional[Spec],
    out: Path,
    per_class: int | None = None,
    count: int | None = None,
    classes: str = "",
    domain: str = "",
    spec: Path | None = None,
    seed: int = 0,
    how: How = UNCHANGED,
    steering: Steered = UNSTEERED,
    precision: Precision = "auto",
) -> None:
    """Draw images of each class as <class>_<nnn>.png, or one for each entry of a list as <k>.png.

    A model of scenes draws sets at random where no list is named, and writes them to asked.json.

    Example: marmor sample pretrained:digits --out drawn --per-class 10

    Args:
        model: a run folder, pretrained:NAME, a file of weights, or a diffusers folder.
        out: folder for the images.
        per_class: images of each class; 100 when nothing is said.
        count: images in all instead, of each class as many as of the others, or one more; of scenes 32 when
            nothing is said.
        classes: comma-separated names, such as 0,1; all when left out.
        domain: comma-separated names, for a model that draws several, each into a folder of its own; all when
            left out.
        spec: a JSON list of sets of objects to draw, for a model of scenes, such as
            [["red cube"], ["blue sphere", "cyan cylinder"]].
        seed: the same seed gives the same files.
        how: the model's own where left out.
        steering: none where left out.
        precision: auto is bf16 where the processor has it.
    """
    generator = steered(load_generator(model).wished(how), steering)
    asks = asked(generator, per_class, classes, domain, spec, count)
    write_images(draw_with_bar(generator, asks, seed, precision), out, generator.remark)
    if spec is None and SHOWS in generator.vocabulary:
        write_asked(generator, asks, out)
    console.print(" ".join(filter(None, (f"{len(asks)} images → {out}", generator.remark))))


def ddim(
    settings: Annotated[OmitArgPrefixes[ddim_recipe.DdimSettings], arg(name="")],
    class_: Annotated[str, arg(name="class")] = "",
) -> None:
    """Draw from somebody else's U-Net and noises by DDIM, and compare with true images.

    Example: marmor ddim --unet UNet.pt --noises noises --out images --truth truth

    Args:
        class_: what a model with classes draws; nothing is said when left out.
    """
    ddim_recipe.run(settings, class_)


def invert(
    model: Positional[Spec],
    images: Data,
    out: Path,
    steps: int = STILL_STEPS,
    corrections: int = 0,
    precision: Precision = "fp32",
) -> None:
    """Find the noise from which a model draws given images, by DDIM backwards.

    Example: marmor invert pretrained:digits --images drawn --out noises

    Args:
        model: a run folder, pretrained:NAME, a file of weights, or a diffusers folder.
        images: a folder of images of the model's size, or any data; of labelled ones the class is kept.
        out: folder for the noises, inversion.csv and inversion.png.
        steps: of DDIM, there and back.
        corrections: further estimates of each step; more come back more exactly.
        precision: auto is bf16 where the processor has it.
    """
    inverting.invert(load_diffusion(model), images, out, steps, corrections, precision)


def interpolate(
    model: Positional[Spec],
    from_: Annotated[str, arg(name="from")] = "0",
    to: str = "1",
    alphas: str = "0:1:0.1",
    method: str = "slerp,lerp",
    class_: Annotated[str, arg(name="class")] = "",
    steps: int | None = None,
    out: Path = Path("interpolation.png"),
    precision: Precision = "auto",
) -> None:
    """Show the images between two noises, along the great circle and along the straight line.

    Example: marmor interpolate pretrained:digits --from 0 --to 1 --class 3

    Args:
        model: a run folder, pretrained:NAME, a file of weights, or a diffusers folder.
        from_: a noise: NN.pt, NN.npy, NN.safetensors, or a whole number, the seed to draw it from; of a GAN a
            latent vector, by its seed.
        to: the other one.
        alphas: shares of the way, first:last:step.
        method: slerp, lerp, or both.
        class_: what to draw, all along the way; the first class when left out.
        steps: of DDIM, 50 when left out; a GAN takes none.
        out: the PNG to write.
        precision: auto is bf16 where the processor has it.
    """
    ways, shares = exploring.check_ways(method), exploring.Alphas.parse(alphas).values()
    generator = load_generator(model)
    ends = exploring.noise_of(from_, generator), exploring.noise_of(to, generator)
    name = class_ or names_of(generator)[0]
    image = exploring.interpolation(generator, ends, name, shares, ways, steps, precision)
    pictures.save_png(image, out)
    console.print(f"interpolation: {out}")


def eta_grid(
    model: Positional[Spec],
    noises: Path | None = None,
    columns: int | None = None,
    class_: Annotated[str, arg(name="class")] = "",
    steps: int = STILL_STEPS,
    out: Path = Path("eta-grid.png"),
    seed: int = 0,
    precision: Precision = "auto",
) -> None:
    """Show what fresh noise does: rows are eta 0 to 1, columns are starting noises.

    Example: marmor eta-grid pretrained:digits --class 3 --out eta-grid.png

    Args:
        model: a run folder, pretrained:NAME, a file of weights, or a diffusers folder.
        noises: a folder of NN.pt, NN.npy or NN.safetensors; those of the seeds 0, 1, … when left out.
        columns: how many of them; all of the folder, or 4, when left out.
        class_: what to draw; the first class when left out.
        steps: of DDIM.
        out: the PNG to write.
        seed: of the fresh noise.
        precision: auto is bf16 where the processor has it.
    """
    generator = load_diffusion(model).wished(Wishes(steps=steps))
    chosen = exploring.noises_of(noises, columns, generator)
    name = class_ or names_of(generator)[0]
    image = exploring.eta_grid(generator, chosen, name, seed=seed, precision=precision)
    pictures.save_png(image, out)
    console.print(f"eta grid: {out}")


def grid(
    model: Positional[Spec],
    out: Path = Path("grid.png"),
    columns: int | None = None,
    domain: str = "",
    spec: Path | None = None,
    seed: int = 0,
    how: How = UNCHANGED,
    steering: Steered = UNSTEERED,
) -> None:
    """Draw a picture with a row for each class, or one of the scenes that a list asks for.

    Example: marmor grid pretrained:digits --out grid.png

    Args:
        model: a run folder, pretrained:NAME, a file of weights, or a diffusers folder.
        out: the PNG to write.
        columns: images of each class, 10 when left out, or in a row of scenes, 8 when left out.
        domain: comma-separated names, for a model that draws several; all when left out.
        spec: a JSON list of sets of objects to draw, for a model of scenes; at random when left out.
        seed: of the noises.
        how: the model's own where left out.
        steering: none where left out.
    """
    generator = steered(load_generator(model).wished(how), steering)
    path = pictures.grid_command(generator, columns, domain, spec, seed, out)
    console.print(" ".join(filter(None, (f"grid: {path}", generator.remark))))


def strip(
    model: Positional[Spec],
    class_: Annotated[str, arg(name="class")] = "",
    out: Path = Path("strip.png"),
    frames: int = 6,
    domain: str = "",
    objects: str = "",
    seed: int = 0,
    how: How = UNCHANGED,
) -> None:
    """Show how one image is carved out of noise.

    Example: marmor strip pretrained:digits --class 0 --frames 6 --out strip.png

    Args:
        model: a run folder, pretrained:NAME, a file of weights, or a diffusers folder.
        class_: what to draw; the first class when left out.
        out: the PNG to write.
        frames: how many states to show, the first is noise, the last the image.
        domain: for a model that draws several; its first when left out.
        objects: comma-separated, such as "red sphere, cyan cube", for a model of scenes.
        seed: of the noise.
        how: the model's own where left out.
    """
    generator = load_diffusion(model).wished(how)
    ask = ask_one(generator, class_, domain, objects)
    pictures.save_png(pictures.process_strip(generator, ask, seed, frames), out)
    console.print(f"strip: {out}")
