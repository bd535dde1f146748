"""Pictures by prompts, from a personalized pipeline or any other (S8): `marmor generate`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from marmor.base.cores import on_cores
from marmor.base.errors import UserError
from marmor.base.files import atomic, fingerprint_of, inside, read_settings, write_json
from marmor.base.pixels import to_bytes, to_unit
from marmor.base.progress import console, progress_bar
from marmor.base.seeds import torch_stream
from marmor.base.tensors import read_guarded
from marmor.data import Fit, ImageSet, join, read, read_picture
from marmor.figures import grid, overlays, save_png, stack
from marmor.networks.checkpoints import fingerprint
from marmor.personalization import (
    NAME,
    AttentionMaps,
    Background,
    Script,
    Watch,
    decode,
    denoise,
    encode,
    latents_of,
    shares,
    tokens_of,
    watched,
)
from marmor.recipes.drawing import picture
from marmor.recipes.exploring import scale_of
from marmor.recipes.personalized import load_personalized
from marmor.recipes.prompting import SOLVERS, GenerateSettings, Task, check, tasks_of
from marmor.recipes.text_to_image import image_side
from marmor.training.processes import processes

RECORD = "generate.json"
"""What a folder of pictures was drawn by."""
ATTENTION = "attention"
"""The folder of the maps."""
SHOWN = 8
"""Pictures of each prompt in the overview."""
LARGEST = 256
"""Their largest side."""
FEWEST_AROUND = 3


@dataclass(frozen=True)
class Job:
    """One picture."""

    task: Task
    number: int
    image: Path
    maps: Path | None
    """The attention to keep, a .safetensors; None for none."""


@dataclass(frozen=True)
class Spoken:
    """A task as the text encoder says it."""

    script: Script
    words: tuple[str, ...]
    """Whose attention is kept: those that the prompts say."""
    tokens: Tensor
    """float32 (P, L, W)."""


def generate(run: Path, settings: GenerateSettings) -> list[Path]:
    """Draws every picture that is not there yet, and the overview; returns the files of all of them.

    Raises UserError for wishes that cannot be, words that the pipeline does not know, and a folder whose
    pictures were drawn otherwise, before anything is written.
    """
    check(settings)
    tasks = tasks_of(settings)
    pipeline = load_personalized(run).to(processes().device)
    around = _around(settings.around, image_side(pipeline))
    if around is not None:
        tasks = [replace(task, around=around.fingerprint()) for task in tasks]
    scheduler = _scheduler(pipeline, settings.solver)
    spoken = {task.folder: _spoken(pipeline, task, settings) for task in tasks}
    _check_attention(settings, spoken)
    _record(run, pipeline, scheduler, settings, tasks)
    jobs = [_job(settings, task, k, spoken) for task in tasks for k in range(settings.count)]
    missing = [job for job in jobs if not _is_done(job, spoken[job.task.folder].words)]
    if len(missing) < len(jobs):
        console.print(f"{len(jobs) - len(missing)} of {len(jobs)} pictures are there already")
    _draw(pipeline, scheduler, settings, missing, spoken, around)
    save_png(_overview(tasks, jobs), settings.out / "overview.png")
    console.print(f"{len(jobs)} pictures → {settings.out}; see {settings.out / 'overview.png'}")
    return [job.image for job in jobs]


def _scheduler(pipeline: Any, solver: str | None) -> Any:
    """The pipeline's own, or the one of a name, for the steps that the network was trained in."""
    if solver is None:
        return pipeline.scheduler
    import diffusers

    # Solvers that clip what they predict would clip latents, whose scale is not that of images.
    config = {"clip_sample": False, **pipeline.scheduler.config}
    return getattr(diffusers, SOLVERS[solver]).from_config(config)


@torch.inference_mode()
def _spoken(pipeline: Any, task: Task, settings: GenerateSettings) -> Spoken:
    side = image_side(pipeline) // pipeline.vae_scale_factor
    placed = shares([region.box for region in task.regions], side, side)
    prompts = [task.prompt, *(region.prompt for region in task.regions)]
    for prompt in prompts:
        _check_words(pipeline, prompt)
    said = [p for p, share in zip(prompts, placed, strict=True) if share.any()]
    placed = placed[placed.flatten(1).any(1)].to(pipeline.device)
    states = torch.cat([encode(pipeline, prompt) for prompt in said])
    script = Script(states, encode(pipeline, ""), placed, settings.guidance)
    tokens = tokens_of(pipeline, said, settings.attention)
    kept = tokens.flatten(0, 1).any(0)
    words = tuple(w for w, some in zip(settings.attention, kept.tolist(), strict=True) if some)
    return Spoken(script, words, tokens[:, :, kept].to(pipeline.device))


def _around(folders: Sequence[Path], side: int) -> ImageSet | None:
    """One picture of what most of the folders' pictures show, the median of each pixel; None without folders.

    Raises UserError for folders that cannot be read, and for so few pictures that one of them is the middle.
    """
    if not folders:
        return None
    images = join([read(str(folder), "train", side).unlabelled().colour() for folder in folders])
    if len(images) < FEWEST_AROUND:
        raise UserError(
            f"--around names {len(images)} pictures, so that what most of them show cannot be told; give "
            f"{FEWEST_AROUND} or more, with their things in different places."
        )
    return ImageSet(images.images.median(0).values[None])


def _check_words(pipeline: Any, prompt: str) -> None:
    """UserError for a new word that the pipeline never learned, and for a prompt that is too long."""
    tokenizer = pipeline.tokenizer
    added = set(tokenizer.get_added_vocab()) - set(tokenizer.all_special_tokens)
    known = sorted(word for word in added if NAME.fullmatch(word))
    for word in NAME.findall(prompt):
        if word not in known:
            told = f"it has learned {', '.join(known)}" if known else "it has learned no new words"
            raise UserError(f"the pipeline does not know {word} of the prompt {prompt!r}; {told}.")
    written_out = pipeline.maybe_convert_prompt(prompt, tokenizer)
    length = len(tokenizer(written_out, verbose=False)["input_ids"])
    if length > tokenizer.model_max_length:
        raise UserError(
            f"the prompt {prompt!r} is {length} tokens long, and the pipeline reads "
            f"{tokenizer.model_max_length}; say less."
        )


def _check_attention(settings: GenerateSettings, spoken: Mapping[str, Spoken]) -> None:
    said = {word for each in spoken.values() for word in each.words}
    if unsaid := [word for word in settings.attention if word not in said]:
        raise UserError(f"--attention {unsaid[0]!r}: no prompt says this word.")


def _record(
    run: Path, pipeline: Any, scheduler: Any, settings: GenerateSettings, tasks: Sequence[Task]
) -> None:
    """Writes down how pictures are drawn, beside what is there; UserError where that was drawn otherwise."""
    path = settings.out / RECORD
    before = read_settings(path) if path.is_file() else {"how": {}, "prompts": {}}
    weights = [fingerprint(part) for part in (pipeline.text_encoder, pipeline.unet, pipeline.vae)]
    how = {
        "weights": weights,
        "solver": type(scheduler).__name__,
        **{name: getattr(settings, name) for name in ("seed", "guidance", "steps")},
        "scheduler": _settings_of(scheduler),
    }
    prompts = {task.folder: task.told for task in tasks}
    _check_same(settings.out, before["how"], how)
    _check_same(settings.out, before["prompts"], prompts)
    write_json(
        path,
        {"run": str(run), "how": before["how"] | how, "prompts": before["prompts"] | prompts},
    )


def _settings_of(scheduler: Any) -> str:
    """32 hex digits of a scheduler's own settings, without what diffusers notes beside them."""
    told = {name: value for name, value in scheduler.config.items() if not name.startswith("_")}
    return fingerprint_of((), json.dumps(told, sort_keys=True, default=str))


def _check_same(out: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    for name in now:
        if name in before and before[name] != now[name]:
            raise UserError(
                f"{out} holds pictures that were drawn otherwise ({name}: {_short(before[name])}, now "
                f"{_short(now[name])}); choose another --out, or remove it."
            )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 60 else f"{text[:56]} …"


def _job(settings: GenerateSettings, task: Task, number: int, spoken: Mapping[str, Spoken]) -> Job:
    image = inside(settings.out, f"{task.folder}/{task.name(number)}")
    maps = None
    if spoken[task.folder].words:
        maps = maps_file(settings.out, task.folder, image.name)
    return Job(task, number, image, maps)


def maps_file(out: Path, folder: str, image: str) -> Path:
    """Where the attention of a picture lies: float32 (h, w) by word."""
    return out / ATTENTION / folder / Path(image).with_suffix(".safetensors")


def _is_done(job: Job, words: Sequence[str]) -> bool:
    if not job.image.is_file():
        return False
    if job.maps is None:
        return True
    try:
        return set(words) <= set(read_guarded(job.maps, ATTENTION))
    except UserError:  # missing, or damaged
        return False


def _draw(
    pipeline: Any,
    scheduler: Any,
    settings: GenerateSettings,
    jobs: Sequence[Job],
    spoken: Mapping[str, Spoken],
    around: ImageSet | None,
) -> None:
    """One picture at a time a thread, so that none depends on how many are drawn together."""
    threads = None if pipeline.device.type == "cpu" else 1
    place = None if around is None else _place(pipeline, around)
    looking = watched(pipeline.unet) if settings.attention else nullcontext()
    with looking as watch, progress_bar("drawing") as bar:

        @torch.inference_mode()
        def draw(job: Job) -> None:
            said = spoken[job.task.folder]
            with _maps(watch, said) as maps:
                image = _picture(pipeline, deepcopy(scheduler), settings, job, said.script, place)
            if not job.image.is_file():
                save_png(picture(image), job.image)
            if job.maps is not None and maps is not None:
                _keep(image, dict(zip(said.words, maps.mean().cpu(), strict=True)), job.maps)

        on_cores(draw, jobs, bar, threads)


@contextmanager
def _maps(watch: Watch | None, said: Spoken) -> Iterator[AttentionMaps | None]:
    """The attention of what is drawn within, where there are words to look for."""
    if watch is None or not said.words:
        yield None
        return
    watch.maps = AttentionMaps(said.tokens, said.script.shares)
    try:
        yield watch.maps
    finally:
        watch.maps = None


def _picture(
    pipeline: Any,
    scheduler: Any,
    settings: GenerateSettings,
    job: Job,
    script: Script,
    place: Tensor | None,
) -> Tensor:
    """uint8 (3, H, W); its randomness follows from the seed, its prompt and its number alone."""
    origin = (job.task.prompt, job.number)
    background = None
    if job.task.regions and job.task.apart > 0:
        stream = torch_stream(settings.seed, "background", *origin)
        count = len(script.states)
        seen = _plain(pipeline, count, stream) if place is None else place
        background = Background(seen.expand(count, -1, -1, -1), job.task.apart, stream)
    stream = torch_stream(settings.seed, "generate", *origin)
    *_, latents = denoise(pipeline, scheduler, script, settings.steps, stream, background)
    return to_bytes(decode(pipeline, latents))[0].cpu()


@torch.inference_mode()
def _place(pipeline: Any, around: ImageSet) -> Tensor:
    """Latents (1, C, h, w) of a picture."""
    return latents_of(pipeline, to_unit(around.images).to(pipeline.device))


def _plain(pipeline: Any, count: int, stream: torch.Generator) -> Tensor:
    """Latents (count, C, h, w) of pictures of one colour each."""
    side = image_side(pipeline)
    colours = 2 * torch.rand((count, 3, 1, 1), generator=stream) - 1
    return latents_of(pipeline, colours.expand(-1, -1, side, side).to(pipeline.device))


def _keep(image: Tensor, maps: dict[str, Tensor], path: Path) -> None:
    """The maps for programs, and beside them the picture for people."""
    save_png(overlays(image, maps, scale_of(image[None])), path.with_suffix(".png"))
    with atomic(path) as temporary:
        save_file({word: each.contiguous() for word, each in maps.items()}, temporary)


def _overview(tasks: Sequence[Task], jobs: Sequence[Job]) -> Image.Image:
    """A row for each prompt."""
    rows = []
    for task in tasks:
        own = [job.image for job in jobs if job.task is task][:SHOWN]
        pixels = torch.stack([read_picture(path) for path in own])
        pixels = Fit()(pixels, min(pixels.shape[3], LARGEST))
        rows.append(grid(pixels, len(own), scale_of(pixels), [task.prompt]))
    return stack(rows)
