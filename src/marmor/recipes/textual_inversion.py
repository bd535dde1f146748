"""New words for a pipeline from a few photos each (S8): `marmor personalize textual-inversion`.

Gal et al. 2022: nothing is trained but the vectors of the words.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from marmor.base.errors import UserError
from marmor.base.pixels import to_unit
from marmor.base.progress import console, progress_bar
from marmor.base.seeds import torch_stream
from marmor.data import ImageSet, epoch_order, join, read
from marmor.personalization import (
    NewRows,
    Placeholder,
    add_placeholder,
    expand,
    first_vectors,
    require_target,
    squared_error,
    views,
)
from marmor.recipes.learned import base_of, told_of_base, write_words
from marmor.recipes.text_to_image import image_side, load_pipeline, training_scheduler
from marmor.recipes.training_images import check_same_images, facts_of
from marmor.training import (
    Batch,
    Budget,
    LoopSettings,
    Precision,
    RunFolder,
    Turn,
    adam,
    fit,
    warmup_then_linear,
)
from marmor.training.processes import processes

RECIPE = "textual-inversion"
USUAL_MINUTES = 10.0
RATE = 0.005
EMA = 0.98
START = "object"
SENTENCES = (
    "a photo of a {}",
    "a picture of a {}",
    "a photo of one {}",
    "a bright photo of a {}",
    "a dark photo of a {}",
    "a photo of a {} up close",
    "a photo of a small {}",
    "a photo of the {}",
)
"""What photos are called in training; neutral, so that the word takes all that sets them apart."""


@dataclass(frozen=True)
class InversionSettings:
    """What `marmor personalize textual-inversion` can be told.

    Args:
        pipeline: a folder of diffusers' StableDiffusionPipeline.
        concept: each new word and its photos, '<new1>=DIR'; several learn side by side.
        word: a word of the pipeline where the vectors start, "object" when left out; one for all, or one
            a concept.
        run: the run folder to write.
        vectors: vectors a word.
        minutes: budget in minutes of training, 10 when nothing is said; one of minutes, steps.
        steps: budget in optimizer steps.
        seed: everything random follows from it.
        batch: images a step.
        precision: auto is bf16 where the processor has it.
    """

    pipeline: Path
    concept: tuple[str, ...]
    word: tuple[str, ...] = ()
    run: Path = Path("runs/textual-inversion")
    vectors: int = 1
    minutes: float | None = None
    steps: int | None = None
    seed: int = 0
    batch: int = 4
    precision: Precision = "auto"

    @property
    def budget(self) -> Budget:
        return Budget.asked(USUAL_MINUTES, steps=self.steps, minutes=self.minutes)


@dataclass(frozen=True)
class Photos:
    """The photos of all concepts, and of each which concept it shows."""

    images: ImageSet
    concepts: Tensor
    """int64 (N,)."""


class TextualInversion:
    """The loop's method: photos in some view, called by their word in some sentence."""

    def __init__(
        self, pipeline: Any, words: list[Placeholder], photos: Photos, batch: int, seed: int
    ) -> None:
        self.pipeline, self.photos, self.seed = pipeline, photos, seed
        self.module = NewRows(pipeline.text_encoder, [i for word in words for i in word.ids])
        self.scheduler = training_scheduler(pipeline)
        require_target(self.scheduler)
        self.batch_size = batch
        self.dataset_size = len(photos.images)
        self.turn = Turn(self.loss, adam(self.module, RATE))
        self.tokens = torch.stack([_tokens(pipeline.tokenizer, word, words) for word in words])

    def turns(self, step: int) -> list[Turn]:
        return [self.turn]

    def draw(self, step: int, turn: int = 0) -> Batch:
        """Views, their sentences' tokens, noises and steps; the same for the same (seed, step)."""
        stream = torch_stream(self.seed, "train", step)
        chosen = epoch_order(step, self.batch_size, self.dataset_size, self.seed)
        sentence = torch.randint(len(SENTENCES), (self.batch_size,), generator=stream)
        times = self.scheduler.config["num_train_timesteps"]
        side = self.photos.images.size[0] // self.pipeline.vae_scale_factor
        shape = (self.batch_size, self.pipeline.vae.config.latent_channels, side, side)
        return {
            "image": views(to_unit(self.photos.images.images[chosen]), stream),
            "tokens": self.tokens[self.photos.concepts[chosen], sentence],
            "spread": torch.randn(shape, generator=stream),
            "noise": torch.randn(shape, generator=stream),
            "steps": torch.randint(times, (self.batch_size,), generator=stream),
        }

    def loss(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        with torch.no_grad():
            coded = self.pipeline.vae.encode(batch["image"]).latent_dist
            latents = (coded.mean + coded.std * batch["spread"]).float()
            latents = latents * self.pipeline.vae.config.scaling_factor
        states = module(self.pipeline.text_encoder, batch["tokens"])
        error = squared_error(
            self.pipeline.unet, self.scheduler, latents, states, batch["noise"], batch["steps"]
        )
        return {"loss": error.mean()}

    def rate(self, progress: float) -> float:
        return warmup_then_linear(progress)


def train(settings: InversionSettings) -> RunFolder:
    """Trains the words into a new run folder; Ctrl-C saves, `marmor resume` goes on.

    Raises UserError for wishes that cannot be, and for pipelines and photos that cannot be read, before
    anything is written.
    """
    _check(settings)
    method, words = _method(settings)
    for note in method.photos.images.notes:
        console.print(f"note: {note}")
    # Absolute, so that the run can be resumed from anywhere.
    asked = replace(settings, pipeline=settings.pipeline.resolve(), concept=_absolute(settings))
    told = {
        "asked": _plain(asked),
        "data": facts_of(method.photos.images),
        **told_of_base(settings.pipeline, [word.name for word in words]),
    }
    run = RunFolder.create_once(settings.run, RECIPE, told)
    console.print(
        f"learning {', '.join(word.name for word in words)} from {method.dataset_size} photos for "
        f"{settings.budget} → {settings.run}"
    )
    _fit(run, settings, method, words)
    return run


def resume(run: RunFolder) -> None:
    """Goes on with an interrupted run to the end of its budget."""
    asked = run.config["settings"]["asked"]
    several = {name: tuple(asked[name]) for name in ("concept", "word")}
    settings = InversionSettings(**{**asked, **several, "pipeline": base_of(run), "run": run.path})
    method, words = _method(settings)
    check_same_images(run, method.photos.images)
    _fit(run, settings, method, words)


def concepts_of(settings: InversionSettings) -> dict[str, Path]:
    """Photos by word; UserError for what is no '<new1>=DIR', and for a word that is named twice."""
    found: dict[str, Path] = {}
    for text in settings.concept:
        name, equals, folder = text.partition("=")
        if not equals or not folder or name in found:
            raise UserError(
                f"--concept {text!r} should be a new word and its photos, '<new1>=DIR'."
            )
        found[name] = Path(folder)
    if not found:
        raise UserError("there is nothing to learn; give --concept '<new1>=DIR'.")
    return found


def _check(settings: InversionSettings) -> None:
    concepts = concepts_of(settings)
    for name in ("vectors", "batch"):
        if getattr(settings, name) < 1:
            raise UserError(f"--{name} must be at least 1, not {getattr(settings, name)}.")
    if settings.word and len(settings.word) not in {1, len(concepts)}:
        raise UserError(
            f"--word names {len(settings.word)} words for {len(concepts)} concepts; "
            "give one for all, or one for each."
        )
    if unsafe := [name for name in concepts if "/" in name or "\\" in name]:
        raise UserError(f"the new word {unsafe[0]!r} names a folder too; leave out the slashes.")
    _ = settings.budget


def _method(settings: InversionSettings) -> tuple[TextualInversion, list[Placeholder]]:
    concepts = concepts_of(settings)
    pipeline = load_pipeline(settings.pipeline).to(processes().device)
    photos = _photos(list(concepts.values()), image_side(pipeline))
    parts = pipeline.tokenizer, pipeline.text_encoder
    starts = settings.word or (START,)
    starts *= len(concepts) // len(starts)
    words = [
        add_placeholder(*parts, name, first_vectors(*parts, start, settings.vectors))
        for name, start in zip(concepts, starts, strict=True)
    ]
    method = TextualInversion(pipeline, words, photos, settings.batch, settings.seed)
    return method, words


def _photos(folders: list[Path], side: int) -> Photos:
    sets = [read(str(folder), "train", side).unlabelled().colour() for folder in folders]
    counts = torch.tensor([len(one) for one in sets])
    return Photos(join(sets), torch.arange(len(sets)).repeat_interleave(counts))


def _tokens(tokenizer: Any, word: Placeholder, words: list[Placeholder]) -> Tensor:
    """int64 (sentences, L); UserError where the vectors leave no room for a sentence."""
    asked = [expand(sentence.format(word.name), words) for sentence in SENTENCES]
    most = max(map(len, tokenizer(asked)["input_ids"]))
    if most > tokenizer.model_max_length:
        raise UserError(
            f"sentences with {len(word.ids)} vectors are {most} tokens long, and the pipeline reads "
            f"{tokenizer.model_max_length}; choose fewer --vectors."
        )
    return tokenizer(asked, padding="max_length", return_tensors="pt")["input_ids"]


def _fit(
    run: RunFolder, settings: InversionSettings, method: TextualInversion, words: list[Placeholder]
) -> None:
    loop = LoopSettings(settings.budget, ema=EMA, precision=settings.precision)
    with progress_bar("learning") as bar:
        average = fit(
            method, run, loop, lambda share, record: bar(share, f"loss {record['loss']:.4f}")
        )
    learned = average.module
    assert isinstance(learned, NewRows)
    each = learned.rows.detach().split([len(word.ids) for word in words])
    write_words(run, {word.name: vectors for word, vectors in zip(words, each, strict=True)})


def _absolute(settings: InversionSettings) -> tuple[str, ...]:
    return tuple(f"{name}={folder.resolve()}" for name, folder in concepts_of(settings).items())


def _plain(settings: InversionSettings) -> dict[str, Any]:
    """As JSON; the run's own place is where its folder lies."""
    told = asdict(settings) | {"pipeline": str(settings.pipeline)}
    del told["run"]
    return told
