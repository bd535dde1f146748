"""DDIM with somebody else's U-Net and noises (S4): `marmor ddim`."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from rich.table import Table
from torch import Tensor

from marmor.base.conditions import Conditions
from marmor.base.errors import UserError
from marmor.base.files import read_json, write_json
from marmor.base.progress import console, progress_bar
from marmor.base.seeds import torch_stream
from marmor.data import Noises, read_noises, read_picture
from marmor.diffusion import Denoiser, Discrete, Estimate, State, ddim
from marmor.figures import save_png
from marmor.networks.checkpoints import fingerprint
from marmor.networks.steps import InSteps
from marmor.recipes.asking import said_class
from marmor.recipes.conventions import Conventions
from marmor.recipes.denoising import DiffusionGenerator, bound
from marmor.recipes.drawing import picture
from marmor.recipes.models import load_diffusion
from marmor.recipes.pixel_errors import squared_error, tell_errors
from marmor.training import Precision

SETTINGS = "ddim.json"
USUAL = Conventions()


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
    how: Conventions = USUAL
    truth: Path | None = None
    search: bool = False
    seed: int = 0
    precision: Precision = "fp32"
    batch: int = 1


def run(settings: DdimSettings, class_name: str = "") -> None:
    """Draws an image from each noise, or finds the conventions that fit; prints what it did.

    ``class_name`` is what a model with classes draws; nothing is said when it is empty.
    """
    _check(settings)
    generator, table = stepped(str(settings.unet))
    noises = read_noises(settings.noises)
    generator.check_noise(noises.values, f"noise in {settings.noises}")
    conditions = said(generator, class_name)
    if settings.search:
        assert settings.truth is not None
        first = Noises(noises.names[:1], noises.values[:1])
        truth = _truths(settings.truth, first)[first.names[0]]
        _print_search(search(generator, first, conditions, truth, settings))
        return
    assert settings.out is not None
    settings.how.times(settings.steps, table.steps)  # refuses what cannot be walked
    truth = _truths(settings.truth, noises) if settings.truth else {}
    images = draw_images(generator, noises, conditions, settings, settings.out)
    console.print(f"{len(images)} images → {settings.out}")
    if truth:
        errors = {name: squared_error(images[name], truth[name]) for name in images}
        tell_errors(errors, settings.out / "mse.csv")


def stepped(spec: str) -> tuple[DiffusionGenerator, Discrete]:
    """A generator whose network counts time in steps, and its table; UserError for others."""
    generator = load_diffusion(spec)
    schedule = generator.denoiser.schedule
    if not isinstance(schedule, Discrete) or not isinstance(generator.denoiser.network, InSteps):
        raise UserError(
            f"{spec} does not count time in steps as DDPM's U-Nets do; draw from it with "
            "`marmor sample --solver ddim`."
        )
    return generator, schedule


def draw_images(
    generator: DiffusionGenerator,
    noises: Noises,
    conditions: Conditions,
    settings: DdimSettings,
    out: Path,
) -> dict[str, Tensor]:
    """uint8 (C, H, W) from each noise, by name, written as NN.png batch after batch.

    What an earlier call with the same settings left in ``out`` is taken as it is.
    """
    _begin(generator, noises, conditions, settings, out)
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
            for step, state in enumerate(trajectory(generator, x, names, conditions, settings), 1):
                x = state.x
                bar((done + step / settings.steps) / len(batches))
            for name, image in zip(names, settings.how.bytes_of(x).cpu(), strict=True):
                save_png(picture(image), out / f"{name}.png")
                images[name] = image
    return {name: images[name] for name in noises.names}


@torch.inference_mode()
def trajectory(
    generator: DiffusionGenerator,
    x: Tensor,
    names: Sequence[str],
    conditions: Conditions,
    settings: DdimSettings,
) -> Iterator[State]:
    """Every state after x; each image has fresh noise of its own, and all show the same."""
    x = x.to(generator.device)
    denoise, schedule = under(generator, settings.how, conditions, settings.precision, len(x))
    times = settings.how.times(settings.steps, schedule.steps)
    streams = [torch_stream(settings.seed, "ddim", name) for name in names]

    def draw(x: Tensor) -> Tensor:
        drawn = [torch.randn(x.shape[1:], generator=stream) for stream in streams]
        return torch.stack(drawn).to(x.device)

    yield from ddim(denoise, x, times, schedule, draw, settings.eta)


def under(
    generator: DiffusionGenerator,
    how: Conventions,
    conditions: Conditions,
    precision: Precision,
    count: int,
) -> tuple[Callable[[Tensor, Tensor], Estimate], Discrete]:
    """The denoiser of ``count`` images under some conventions, as samplers take it, and its table."""
    own = generator.denoiser
    assert isinstance(own.network, InSteps)
    assert isinstance(own.schedule, Discrete)
    network = InSteps(own.network.network, own.network.steps, how.offset)
    denoiser = Denoiser(network, own.schedule, own.prediction, own.kinds)
    clip = 1.0 if how.clip else None
    plain = replace(generator.drawing, guidance=1.0, clip=clip, noise_follows=False)
    changed = replace(generator, denoiser=denoiser.eval(), drawing=plain)
    every = {name: values.expand(count) for name, values in conditions.items()}
    return bound(changed, every, precision), own.schedule


def said(generator: DiffusionGenerator, class_name: str) -> Conditions:
    """What one image is asked to show: a class, or, where none is named, nothing."""
    return generator.conditions([said_class(generator, class_name) if class_name else {}])


def search(
    generator: DiffusionGenerator,
    noises: Noises,
    conditions: Conditions,
    truth: Tensor,
    settings: DdimSettings,
) -> list[tuple[float, Conventions]]:
    """The squared error of the one image under all conventions that can be walked, best first."""
    ways = [
        Conventions(first=first, level=level, clip=clip)
        for first, level, clip in itertools.product((1, 0), ("t", "t-1"), (False, True))
    ]
    found: list[tuple[float, Conventions]] = []
    with progress_bar("searching") as bar:
        for done, way in enumerate(ways):

            def watch(share: float, done: int = done) -> None:
                bar((done + share) / len(ways))

            try:
                finishes = list(_finishes(generator, noises, conditions, way, settings, watch))
            except UserError as error:
                console.print(f"left out: {error}")
                continue
            found += [(squared_error(image, truth), how) for image, how in finishes]
    return sorted(found, key=lambda pair: pair[0])


@torch.inference_mode()
def _finishes(
    generator: DiffusionGenerator,
    noises: Noises,
    conditions: Conditions,
    way: Conventions,
    settings: DdimSettings,
    watch: Callable[[float], None],
) -> Iterator[tuple[Tensor, Conventions]]:
    """The image under ``way``, with either end and either range: only the last step differs."""
    denoise, schedule = under(generator, way, conditions, settings.precision, 1)
    times = way.times(settings.steps, schedule.steps)
    x = noises.values.to(generator.device)
    states = [State(times[0], x, x)]
    for state in ddim(denoise, states[0].x, times, schedule):
        states.append(state)
        watch(len(states) / len(times))
    before, first = states[-2], 1 / schedule.steps
    ends = {"one": states[-1].x, "first": before.x}
    if before.time > first:
        ends["first"] = next(ddim(denoise, before.x, [before.time, first], schedule)).x
    for end, save_range in itertools.product(ends, ("fixed", "per-image")):
        how = replace(way, end=end, save_range=save_range)
        yield how.bytes_of(ends[end])[0].cpu(), how


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


def _begin(
    generator: DiffusionGenerator,
    noises: Noises,
    conditions: Conditions,
    settings: DdimSettings,
    out: Path,
) -> None:
    """Writes down how the images of ``out`` are made; refuses a folder with images made otherwise."""
    how = {
        "unet": fingerprint(generator.denoiser),
        "levels": generator.denoiser.schedule.signal(torch.linspace(0, 1, 11)).tolist(),
        "prediction": type(generator.denoiser.prediction).__name__,
        "noises": noises.fingerprint(),
        "shows": {name: values.tolist() for name, values in conditions.items()},
        **{name: getattr(settings, name) for name in ("steps", "eta", "seed", "precision")},
        **asdict(settings.how),
    }
    path = out / SETTINGS
    if any((out / f"{name}.png").exists() for name in noises.names) and not path.is_file():
        raise UserError(f"{out} holds images that `marmor ddim` did not make; name another folder.")
    if path.is_file() and read_json(path) != how:
        raise UserError(
            f"{out} holds images that were made otherwise ({SETTINGS} says how); name another folder."
        )
    write_json(path, how)


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


def _print_search(found: list[tuple[float, Conventions]]) -> None:
    table = Table("mean squared error", "first", "level", "end", "clip", "save range", box=None)
    for error, how in found:
        table.add_row(f"{error:.4f}", *(str(value) for value in asdict(how).values()))
    console.print(table)
