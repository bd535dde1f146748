"""What all ways to teach a pipeline concepts share: photos, words, sentences, the loop's method."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from marmor.base.errors import UserError
from marmor.base.pixels import to_unit
from marmor.base.progress import console, progress_bar
from marmor.base.seeds import torch_stream
from marmor.data import ImageSet, epoch_order, join, read
from marmor.language import fill, read_templates
from marmor.personalization import (
    NAME,
    SMALLEST_CROP,
    Concepts,
    NewRows,
    Placeholder,
    add_placeholder,
    expand,
    first_vectors,
    random_vectors,
    require_target,
    spread_steps,
    squared_error,
    views,
)
from marmor.recipes.learned import base_of, forget, told
from marmor.recipes.prior import Prior
from marmor.recipes.text_to_image import (
    attend_for_training,
    image_side,
    load_pipeline,
    pipeline_folder,
    training_scheduler,
)
from marmor.recipes.training_images import facts_of
from marmor.training import (
    Batch,
    Budget,
    LoopSettings,
    Optimizers,
    Precision,
    RunFolder,
    Turn,
    fit,
    warmup_then_linear,
)
from marmor.training.processes import processes

USUAL_MINUTES = 10.0
WORD_STEP = 0.35
"""How far Adam moves the entries of new words in a step, as a share of their root mean square at the start.
Words of Stable Diffusion 1.x are about 0.4 long in 768 numbers: 0.005, as Gal et al. 2022 have it; those
of small encoders are longer."""
EMA = 0.98
START = "object"
Start = Literal["word", "random"]
FEWEST = 2
"""A word that is learned from one photo is that photo."""
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
class ConceptWishes:
    """What every `marmor personalize` command that trains can be told.

    Args:
        pipeline: a folder of diffusers' StableDiffusionPipeline, a run of `marmor train tiny-text-to-image`,
            or pretrained:tiny-text-to-image.
        concept: each new word and its photos, '<new1>=DIR'; several learn side by side.
        word: a word of the pipeline where the vectors start, "object" when left out; one for all, or one
            a concept.
        run: the run folder to write.
        vectors: vectors a word.
        minutes: budget in minutes of training, 10 when nothing is said; one of minutes, steps.
        steps: budget in optimizer steps.
        seed: everything random follows from it.
        batch: photos a step.
        precision: auto is bf16 where the processor has it.
        start: word, or random: seeded vectors as long as common words, which say nothing.
        templates: what photos are called in training: openai, simple, plain, or a text file with {} on each
            line; eight neutral sentences when left out.
        mirror: whether half of the views of photos are mirrored; not for things with writing on them.
        crop: the narrowest crop of a photo that is seen, as a share of its side; 1 for the whole photo alone,
            where things should not look larger than they are.
    """

    pipeline: Path
    concept: tuple[str, ...]
    word: tuple[str, ...] = ()
    run: Path = Path("runs/concepts")
    vectors: int = 1
    minutes: float | None = None
    steps: int | None = None
    seed: int = 0
    batch: int = 4
    precision: Precision = "auto"
    start: Start = "word"
    templates: str | None = None
    mirror: bool = True
    crop: float = SMALLEST_CROP

    @property
    def budget(self) -> Budget:
        return Budget.asked(USUAL_MINUTES, steps=self.steps, minutes=self.minutes)

    @property
    def concepts(self) -> dict[str, Path]:
        """Photos by word; UserError for what is no '<new1>=DIR', and for a word that is named twice."""
        found: dict[str, Path] = {}
        for text in self.concept:
            name, equals, folder = text.partition("=")
            if not equals or not folder:
                raise UserError(
                    f"--concept {text!r} should be a new word and its photos, '<new1>=DIR'."
                )
            if name in found:
                raise UserError(
                    f"--concept names the word {name!r} twice; give each folder a word of its own."
                )
            found[name] = Path(folder)
        if not found:
            raise UserError("there is nothing to learn; give --concept '<new1>=DIR'.")
        return found

    @property
    def words(self) -> list[str]:
        """The word of each concept where its vectors start."""
        starts = self.word or (START,)
        return list(starts * (len(self.concept) // len(starts)))

    @property
    def sentences(self) -> tuple[str, ...]:
        """What photos are called, {} for the word; UserError for templates that cannot be read."""
        return SENTENCES if self.templates is None else read_templates(self.templates)

    def check(self) -> None:
        """UserError for wishes that cannot be."""
        concepts = self.concepts
        for name in ("vectors", "batch"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} must be at least 1, not {getattr(self, name)}.")
        if not 0 < self.crop <= 1:
            raise UserError(
                f"--crop is a share of a photo's side, above 0 and at most 1, not {self.crop}."
            )
        if self.word and len(self.word) not in {1, len(concepts)}:
            raise UserError(
                f"--word names {len(self.word)} words for {len(concepts)} concepts; "
                "give one for all, or one for each."
            )
        if unsafe := [name for name in concepts if _leaves(name.strip("<>"))]:
            raise UserError(
                f"the new word {unsafe[0]!r} names a folder too; take letters and digits."
            )
        _ = self.budget

    def asked(self) -> dict[str, Any]:
        """As JSON for the run's config; paths are absolute, so that it can be resumed from anywhere."""
        concept = tuple(f"{name}={folder.resolve()}" for name, folder in self.concepts.items())
        placed = replace(self, concept=concept, pipeline=pipeline_folder(self.pipeline))
        told = {name: _plain(value) for name, value in vars(placed).items()}
        if self.templates is not None and Path(self.templates).is_file():
            told["templates"] = str(Path(self.templates).resolve())
        del told["run"]  # the run's own place is where its folder lies
        return told


Wishes = TypeVar("Wishes", bound=ConceptWishes)


def wishes_of(run: RunFolder, kind: type[Wishes]) -> Wishes:
    """What a run was asked for; UserError where its pipeline or its templates have changed since."""
    asked = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in run.config["settings"]["asked"].items()
    }
    wishes = kind(**{**asked, "pipeline": base_of(run), "run": run.path})
    if run.config["settings"].get("sentences", list(SENTENCES)) != list(wishes.sentences):
        raise UserError(
            f"the templates {wishes.templates} changed since {run.path} began; put back what they were."
        )
    return wishes


@dataclass(frozen=True)
class Photos:
    """The photos of all concepts, and of each which concept it shows."""

    images: ImageSet
    concepts: Tensor
    """int64 (N,)."""


def read_photos(concepts: dict[str, Path], side: int) -> Photos:
    """The photos of all concepts at the side that the pipeline draws.

    Raises UserError for folders that cannot be read, or that hold one photo.
    """
    sets = [read(str(f.resolve()), "train", side).unlabelled().colour() for f in concepts.values()]
    for folder, one in zip(concepts.values(), sets, strict=True):
        if len(one) < FEWEST:
            raise UserError(
                f"{folder} holds one photo, which a word would learn by heart, background and all; "
                "give three to five that show the thing in different places."
            )
    counts = torch.tensor([len(one) for one in sets])
    return Photos(join(sets), torch.arange(len(sets)).repeat_interleave(counts))


@dataclass(frozen=True)
class Lesson:
    """A pipeline that knows its new words, which start where they were asked to, and what they should mean.

    Args:
        pipeline: of diffusers, frozen.
        words: the new words, in the order of the concepts.
        photos: of all concepts.
        tokens: int64 (concepts, sentences, L): what photos of a concept are called.
    """

    pipeline: Any
    words: list[Placeholder]
    photos: Photos
    tokens: Tensor

    def rows(self) -> NewRows | None:
        """The vectors of the new words; None where there are none."""
        ids = [number for word in self.words for number in word.ids]
        return NewRows(self.pipeline.text_encoder, ids) if ids else None

    def vectors(self, rows: NewRows | None) -> dict[str, Tensor]:
        """Learned vectors (V, D) by word."""
        if rows is None:
            return {}
        each = rows.rows.detach().split([len(word.ids) for word in self.words])
        return {word.name: found for word, found in zip(self.words, each, strict=True)}


def prepare(wishes: ConceptWishes, phrases: bool = False) -> Lesson:
    """Reads the pipeline and the photos and adds the new words.

    With ``phrases`` a concept without brackets is called by words that the pipeline knows already. Raises
    UserError for wishes that cannot be, and for pipelines and photos that cannot be read.
    """
    wishes.check()
    concepts = wishes.concepts
    pipeline = load_pipeline(wishes.pipeline).to(processes().device)
    require_target(training_scheduler(pipeline))
    attend_for_training(pipeline.unet, wishes.precision)
    photos = read_photos(concepts, image_side(pipeline))
    parts = pipeline.tokenizer, pipeline.text_encoder
    new = [name for name in concepts if NAME.fullmatch(name) or not phrases]
    starts = _starts(wishes, pipeline, new)
    words = [add_placeholder(*parts, name, starts[name]) for name in new]
    said = [[fill(sentence, name) for sentence in wishes.sentences] for name in concepts]
    tokens = [tokens_of(pipeline.tokenizer, each, words) for each in said]
    return Lesson(pipeline, words, photos, torch.stack(tokens))


def _starts(wishes: ConceptWishes, pipeline: Any, new: Sequence[str]) -> dict[str, Tensor]:
    """Where the vectors (V, D) of each new word start; a random start is the same beside any others."""
    count, parts = wishes.vectors, (pipeline.tokenizer, pipeline.text_encoder)
    if wishes.start == "random":
        beside = fill(wishes.sentences[0], START)
        streams = {name: torch_stream(wishes.seed, "start", name) for name in new}
        return {n: random_vectors(*parts, beside, count, stream) for n, stream in streams.items()}
    words = dict(zip(wishes.concepts, wishes.words, strict=True))
    return {name: first_vectors(*parts, words[name], count) for name in new}


def word_rate(rows: NewRows) -> float:
    """Adam's rate for all new words together, told from where they start."""
    return WORD_STEP * rows.rows.detach().square().mean().sqrt().item()


def tokens_of(tokenizer: Any, sentences: list[str], words: list[Placeholder]) -> Tensor:
    """int64 (sentences, L), L what the pipeline reads; UserError for a sentence that is longer."""
    asked = [expand(sentence, words) for sentence in sentences]
    lengths = list(map(len, tokenizer(asked)["input_ids"]))
    if max(lengths) > tokenizer.model_max_length:
        longest = sentences[lengths.index(max(lengths))]
        raise UserError(
            f"the sentence {longest!r} is {max(lengths)} tokens long, and the pipeline reads "
            f"{tokenizer.model_max_length}; choose fewer --vectors or fewer words."
        )
    return tokenizer(asked, padding="max_length", return_tensors="pt")["input_ids"]


class ConceptMethod:
    """The loop's method: photos in some view, called by their word in some sentence.

    Where there is a prior, each photo comes with a picture of its concept's kind, and the loss is
    concept + weight x prior (Kumari et al. 2023, Ruiz et al. 2023).
    """

    def __init__(
        self,
        lesson: Lesson,
        module: Concepts,
        optimizers: Optimizers,
        wishes: ConceptWishes,
        prior: Prior | None = None,
    ) -> None:
        self.lesson, self.module, self.prior = lesson, module, prior
        self.seed, self.batch_size = wishes.seed, wishes.batch
        self.mirror, self.crop = wishes.mirror, wishes.crop
        self.scheduler = training_scheduler(lesson.pipeline)
        self.dataset_size = len(lesson.photos.images)
        self.turn = Turn(self.loss, optimizers)

    def turns(self, step: int) -> list[Turn]:
        return [self.turn]

    def draw(self, step: int, turn: int = 0) -> Batch:
        """Views, their sentences' tokens, noises and steps; the same for the same (seed, step)."""
        stream = torch_stream(self.seed, "train", step)
        photos = self.lesson.photos
        chosen = epoch_order(step, self.batch_size, self.dataset_size, self.seed)
        sentence = torch.randint(self.lesson.tokens.shape[1], (self.batch_size,), generator=stream)
        concepts = photos.concepts[chosen]
        tokens = self.lesson.tokens[concepts, sentence]
        batch = self._noised(photos.images.images[chosen], tokens, stream)
        if self.prior is None:
            return batch
        kin = self.prior.draw(concepts, stream)
        beside = self._noised(self.prior.images.images[kin], self.prior.tokens[kin], stream)
        return batch | {f"prior.{name}": values for name, values in beside.items()}

    def _noised(self, images: Tensor, tokens: Tensor, stream: torch.Generator) -> Batch:
        pipeline = self.lesson.pipeline
        side = images.shape[-1] // pipeline.vae_scale_factor
        shape = (len(images), pipeline.vae.config.latent_channels, side, side)
        times = self.scheduler.config["num_train_timesteps"]
        return {
            "image": views(to_unit(images), stream, self.mirror, self.crop),
            "tokens": tokens,
            "spread": torch.randn(shape, generator=stream),
            "noise": torch.randn(shape, generator=stream),
            "steps": spread_steps(times, len(images), stream),
        }

    def loss(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        assert isinstance(module, Concepts)
        if self.prior is None:
            return {"loss": self._errors(module, batch).mean()}
        names = [name for name in batch if not name.startswith("prior.")]
        both = {name: torch.cat([batch[name], batch[f"prior.{name}"]]) for name in names}
        concept, prior = (half.mean() for half in self._errors(module, both).chunk(2))
        loss = concept + self.prior.weight * prior
        return {"loss": loss, "concept": concept, "prior": prior}

    def _errors(self, module: Concepts, batch: Batch) -> Tensor:
        pipeline = self.lesson.pipeline
        with torch.no_grad():
            coded = pipeline.vae.encode(batch["image"]).latent_dist
            latents = (coded.mean + coded.std * batch["spread"]).float()
            latents = latents * pipeline.vae.config.scaling_factor
        states = module.states(pipeline.text_encoder, batch["tokens"])
        network = module.network(pipeline.unet)
        return squared_error(
            network, self.scheduler, latents, states, batch["noise"], batch["steps"]
        )

    def rate(self, progress: float) -> float:
        return warmup_then_linear(progress)


def learn(
    run: RunFolder, wishes: ConceptWishes, method: ConceptMethod, keep: Callable[[Concepts], None]
) -> None:
    """Trains to the end of the budget and keeps the average."""
    forget(run)
    loop = LoopSettings(wishes.budget, ema=EMA, precision=wishes.precision)
    with progress_bar("learning") as bar:
        average = fit(
            method, run, loop, lambda share, record: bar(share, f"loss {record['loss']:.4f}")
        )
    learned = average.module
    assert isinstance(learned, Concepts)
    keep(learned)


def begin(
    recipe: str,
    wishes: ConceptWishes,
    lesson: Lesson,
    files: Sequence[str] = (),
    more: Mapping[str, Any] | None = None,
) -> RunFolder:
    """A new run folder; says what is about to be learned, and what had to be done to the photos.

    ``files`` of weights will be its results beside the words; ``more`` stands in its config too.
    """
    config = {
        "asked": wishes.asked(),
        "data": facts_of(lesson.photos.images),
        "sentences": list(wishes.sentences),
        **(more or {}),
        **told(wishes.pipeline, [word.name for word in lesson.words], files),
    }
    run = RunFolder.create_once(wishes.run, recipe, config)
    for note in lesson.photos.images.notes:
        console.print(f"note: {note}")
    console.print(
        f"learning {', '.join(wishes.concepts)} from {len(lesson.photos.images)} photos for "
        f"{wishes.budget} → {wishes.run}"
    )
    return run


def _leaves(name: str) -> bool:
    """Whether a name is no plain name of a folder."""
    return "/" in name or "\\" in name or name in {".", ".."}


def _plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return str(value.resolve()) if isinstance(value, Path) else value
