"""DDIM with somebody else's U-Net and noises (S4): `marmor ddim`."""

import csv
import io
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from rich.table import Table
from torch import Tensor

from marmor.base.conditions import none_of
from marmor.base.errors import UserError
from marmor.base.files import atomic, digest, read_json, write_json, write_text
from marmor.base.pixels import to_bytes
from marmor.base.progress import console, progress_bar
from marmor.base.seeds import torch_stream
from marmor.data import Noises, read_noises, read_picture
from marmor.diffusion import Denoiser, Discrete, Estimate, State, ddim
from marmor.networks.steps import InSteps
from marmor.recipes.drawing import bound, picture
from marmor.recipes.generators import Generator, check_noise
from marmor.recipes.models import load_generator
from marmor.training import Precision

SETTINGS = "ddim.json"


@dataclass(frozen=True)
class Conventions:
    """What scripts of DDIM do differently.

    Args:
        first: the lowest step visited: 1 (1, 21, … 981) or 0 (0, 20, … 980).
        level: whether step t holds as much signal as alphas_cumprod[t] or as [t-1].
        end: the signal at the end: one (a clean image) or first (alphas_cumprod[0]).
        clip: keep the estimated image in [-1, 1]; the estimated noise stays as it is.
        save_range: fixed ([-1, 1] becomes 0 … 255) or per-image (its least value becomes 0, its
            largest 255).
    """

    first: Literal[1, 0] = 1
    level: Literal["t", "t-1"] = "t"
    end: Literal["one", "first"] = "one"
    clip: bool = False
    save_range: Literal["fixed", "per-image"] = "fixed"

    @property
    def offset(self) -> int:
        """Step shown to the network less the number of its alpha-bar, counted from 1."""
        return -1 if self.level == "t" else 0

    def times(self, steps: int, of: int) -> list[float]:
        """Where ``steps`` steps over a table of ``of`` stop; UserError where it has no such steps."""
        if not 1 <= steps <= of:
            raise UserError(f"--steps must lie between 1 and {of}, not {steps}.")
        shown = [self.first + of // steps * i for i in range(steps)]
        numbers = [step - self.offset for step in reversed(shown)]
        if numbers[0] > of:
            raise UserError(
                f"--steps {steps} from --first {self.first} on reaches step {shown[-1]}, and the last "
                f"is {of + self.offset}; take fewer steps or --first 0."
            )
        last = 1 if self.end == "first" else 0
        return [number / of for number in numbers if number > last] + [last / of]

    def bytes_of(self, x: Tensor) -> Tensor:
        """Finished images (B, C, H, W) as uint8."""
        if self.save_range == "fixed":
            return to_bytes(x)
        low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
        return to_bytes(2 * (x - low) / (high - low).clamp(min=1e-12) - 1)


@dataclass(frozen=True)
class DdimSettings:
    """What `marmor ddim` can be told.

    Args:
        unet: weights of a U-Net (.pt, .safetensors), a diffusers folder, or a run.
        noises: a folder of NN.pt, NN.npy or NN.safetensors, each 1 × C × H × W.
        out: folder for NN.png.
        steps: network calls an image, evenly over the table.
        eta: 0 is deterministic, 1 is DDPM.
        how: conventions.
        truth: a folder of NN.png to compare with; prints the mean squared error on 0 … 255.
        search: try all conventions on the first noise and print which fit the truth; writes no image.
        seed: of the fresh noise where eta is not 0.
        precision: auto is bf16 where the processor has it.
        batch: images at a time.
    """

    unet: Path
    noises: Path
    out: Path | None = None
    steps: int = 50
    eta: float = 0.0
    how: Conventions = Conventions()
    truth: Path | None = None
    search: bool = False
    seed: int = 0
    precision: Precision = "fp32"
    batch: int = 1


def run(settings: DdimSettings) -> None:
    """Draws an image from each noise, or finds the conventions that fit; prints what it did."""
    _check(settings)
    generator, table = stepped(str(settings.unet))
    noises = read_noises(settings.noises)
    check_noise(generator, noises.values, str(settings.noises))
    settings.how.times(settings.steps, table.steps)  # refuses what cannot be walked
    truth = _truths(settings.truth, noises) if settings.truth else {}
    if settings.search:
        _print_search(search(generator, noises, truth[noises.names[0]], settings))
        return
    assert settings.out is not None
    images = draw_images(generator, noises, settings, settings.out)
    console.print(f"{len(images)} images → {settings.out}")
    if truth:
        errors = {name: squared_error(images[name], truth[name]) for name in images}
        _write_errors(errors, settings.out / "mse.csv")


def stepped(spec: str) -> tuple[Generator, Discrete]:
    """A generator whose network counts time in steps, and its table; UserError for others."""
    generator = load_generator(spec)
    schedule = generator.denoiser.schedule
    if not isinstance(schedule, Discrete) or not isinstance(generator.denoiser.network, InSteps):
        raise UserError(
            f"{spec} does not count time in steps as DDPM's U-Nets do; draw from it with "
            "`marmor sample --solver ddim`."
        )
    return generator, schedule


def draw_images(
    generator: Generator, noises: Noises, settings: DdimSettings, out: Path
) -> dict[str, Tensor]:
    """uint8 (C, H, W) from each noise, by name, written as NN.png batch after batch.

    What an earlier call with the same settings left in ``out`` is taken as it is.
    """
    _begin(settings, noises, out)
    images = {
        name: read_picture(out / f"{name}.png")
        for name in noises.names
        if (out / f"{name}.png").is_file()
    }
    missing = [i for i, name in enumerate(noises.names) if name not in images]
    batches = [missing[i : i + settings.batch] for i in range(0, len(missing), settings.batch)]
    with progress_bar("sampling") as bar:
        for done, batch in enumerate(batches):
            names, x = [noises.names[i] for i in batch], noises.values[batch]
            for step, state in enumerate(trajectory(generator, x, names, settings), start=1):
                x = state.x
                bar((done + step / settings.steps) / len(batches))
            for name, image in zip(names, settings.how.bytes_of(x), strict=True):
                with atomic(out / f"{name}.png") as temporary:
                    picture(image).save(temporary, format="PNG")
                images[name] = image
    return {name: images[name] for name in noises.names}


@torch.inference_mode()
def trajectory(
    generator: Generator, x: Tensor, names: Sequence[str], settings: DdimSettings
) -> Iterator[State]:
    """Every state after x; each image has fresh noise of its own."""
    denoise, schedule = under(generator, settings.how, settings.precision, len(x))
    times = settings.how.times(settings.steps, schedule.steps)
    streams = [torch_stream(settings.seed, "ddim", name) for name in names]

    def draw(x: Tensor) -> Tensor:
        return torch.stack([torch.randn(x.shape[1:], generator=stream) for stream in streams])

    yield from ddim(denoise, x, times, schedule, draw, settings.eta)


def under(
    generator: Generator, how: Conventions, precision: Precision, count: int
) -> tuple[Callable[[Tensor, Tensor], Estimate], Discrete]:
    """The denoiser of ``count`` images under some conventions, as samplers take it, and its table."""
    own = generator.denoiser
    assert isinstance(own.network, InSteps)
    assert isinstance(own.schedule, Discrete)
    network = InSteps(own.network.network, own.network.steps, how.offset)
    denoiser = Denoiser(network, own.schedule, own.prediction, own.kinds)
    plain = replace(generator.drawing, guidance=1.0, clip=None)
    changed = replace(generator, denoiser=denoiser.eval(), drawing=plain)
    denoise = bound(changed, none_of(own.kinds, count), precision)
    if not how.clip:
        return denoise, own.schedule

    def clipped(x: Tensor, t: Tensor) -> Estimate:
        image, noise = denoise(x, t)
        return Estimate(image.clamp(-1, 1), noise)

    return clipped, own.schedule


def search(
    generator: Generator, noises: Noises, truth: Tensor, settings: DdimSettings
) -> list[tuple[float, Conventions]]:
    """The squared error of the first image under all conventions, best first."""
    ways = [
        Conventions(first=first, level=level, clip=clip)
        for first, level, clip in itertools.product((1, 0), ("t", "t-1"), (False, True))
    ]
    found: list[tuple[float, Conventions]] = []
    with progress_bar("searching") as bar:
        for done, way in enumerate(ways):

            def watch(share: float, done: int = done) -> None:
                bar((done + share) / len(ways))

            finishes = _finishes(generator, noises, way, settings, watch)
            found += [(squared_error(image, truth), how) for image, how in finishes]
    return sorted(found, key=lambda pair: pair[0])


def squared_error(image: Tensor, truth: Tensor) -> float:
    """Mean squared error of two uint8 images of one shape, on 0 … 255."""
    return (image.double() - truth.double()).square().mean().item()


@torch.inference_mode()
def _finishes(
    generator: Generator,
    noises: Noises,
    way: Conventions,
    settings: DdimSettings,
    watch: Callable[[float], None],
) -> Iterator[tuple[Tensor, Conventions]]:
    """The first image under ``way``, with either end and either range: only the last step differs."""
    denoise, schedule = under(generator, way, settings.precision, 1)
    times = way.times(settings.steps, schedule.steps)
    states = [State(times[0], noises.values[:1], noises.values[:1])]
    for state in ddim(denoise, states[0].x, times, schedule):
        states.append(state)
        watch(len(states) / len(times))
    before, first = states[-2], 1 / schedule.steps
    ends = {"one": states[-1].x, "first": before.x}
    if before.time > first:
        ends["first"] = next(ddim(denoise, before.x, [before.time, first], schedule)).x
    for end, save_range in itertools.product(ends, ("fixed", "per-image")):
        how = replace(way, end=end, save_range=save_range)
        yield how.bytes_of(ends[end])[0], how


def _check(settings: DdimSettings) -> None:
    """Refuses wishes that do not go together."""
    if settings.batch < 1:
        raise UserError(f"--batch must be at least 1, not {settings.batch}.")
    if not 0 <= settings.eta <= 1:
        raise UserError(f"--eta must lie between 0 and 1, not {settings.eta}.")
    if settings.search and settings.truth is None:
        raise UserError("--search needs images to compare with; name their folder with --truth.")
    if settings.search and settings.eta != 0:
        raise UserError("--search compares deterministic images; leave --eta out.")
    if not settings.search and settings.out is None:
        raise UserError("--out is missing; name the folder that the images go to.")


def _begin(settings: DdimSettings, noises: Noises, out: Path) -> None:
    """Writes down how the images of ``out`` are made; refuses a folder with images made otherwise."""
    how = {
        "unet": _identity(settings.unet),
        "noises": noises.fingerprint(),
        **{name: getattr(settings, name) for name in ("steps", "eta", "seed", "precision")},
        **asdict(settings.how),
    }
    path = out / SETTINGS
    if path.is_file() and read_json(path) != how:
        raise UserError(
            f"{out} holds images that were made otherwise ({SETTINGS} says how); name another folder."
        )
    write_json(path, how)


def _identity(model: Path) -> str:
    """What tells one model from another: the digest of a file; a folder's config, with its place."""
    return digest(model) if model.is_file() else str(model)


def _truths(folder: Path, noises: Noises) -> dict[str, Tensor]:
    """The true image of each noise; UserError where one is missing or of another size."""
    truths: dict[str, Tensor] = {}
    for name in noises.names:
        path = folder / f"{name}.png"
        if not path.is_file():
            raise UserError(f"{path} is missing; --truth needs an image for each noise.")
        truths[name] = read_picture(path)
        if truths[name].shape != noises.values.shape[1:]:
            raise UserError(
                f"{path} is of size {tuple(truths[name].shape)}, its noise of "
                f"{tuple(noises.values.shape[1:])}."
            )
    return truths


def _write_errors(errors: dict[str, float], path: Path) -> None:
    table = Table("image", "mean squared error (0 … 255)", box=None)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["image", "mse"])
    for name, value in [*errors.items(), ("mean", sum(errors.values()) / len(errors))]:
        table.add_row(name, f"{value:.4f}")
        writer.writerow([name, value])
    write_text(path, text.getvalue())
    console.print(table)
    console.print(f"written: {path}")


def _print_search(found: list[tuple[float, Conventions]]) -> None:
    table = Table("mean squared error", "first", "level", "end", "clip", "save range", box=None)
    for error, how in found:
        table.add_row(f"{error:.4f}", *(str(value) for value in asdict(how).values()))
    console.print(table)
