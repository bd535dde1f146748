"""A small CLIP from nothing, as a folder of transformers: `marmor train tiny-clip` (S7)."""

import math
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from marmor.base.errors import UserError
from marmor.base.files import write_json
from marmor.base.pixels import to_unit
from marmor.base.progress import console, progress_bar
from marmor.base.seeds import derive, torch_stream
from marmor.data import Captioned, SceneWishes, alike, epoch_order
from marmor.data.augment import mirror_and_shift
from marmor.data.writers import whole_folder
from marmor.language import (
    INSTALL,
    ClipSizes,
    busiest,
    clip_tokenizer,
    contrastive_loss,
    embed_prompts,
    ensemble,
    features_of_patches,
    load_hub_clip,
    logits,
    quiet,
    save_clip,
    small_clip,
    small_sight,
)
from marmor.metrics import top
from marmor.recipes.captioned_data import (
    CaptionWishes,
    HeldOut,
    Pictures,
    facts_of_captioned,
    load_pictures,
    plain,
    sentences_of,
)
from marmor.recipes.scoring import with_interval
from marmor.recipes.tiny_parts import optimizers_of
from marmor.recipes.training_images import check_same
from marmor.training import (
    Batch,
    Budget,
    LoopSettings,
    Precision,
    RunFolder,
    Turn,
    fit,
    warmup_then_linear,
)
from marmor.training.processes import first_alone

RECIPE = "tiny-clip"
USUAL_MINUTES = 25.0
SIZES = ClipSizes()
EMA = 0.995
LARGEST_SCALE = math.log(100)
READ_BATCH = 100
SCENES = SceneWishes(partly=0.3, nameless=0.5, alone=0.5, contrasted=True)
"""Of scenes: shapes by themselves, and in colours without a name, say that a shape is one in every colour."""

BUSY, WHOLE = 0.3, 4
"""Of scenes, which share of the patches is read, those that vary most, but for every fourth step."""


@dataclass(frozen=True, kw_only=True)
class TinyClipSettings(CaptionWishes):
    """What `marmor train tiny-clip` can be told.

    Args:
        run: the run folder to write; the model lies in its folder clip.
        minutes: budget in minutes of training, 25 when nothing is said; one of minutes, steps.
        steps: budget in optimizer steps.
        seed: everything random follows from it.
        batch: pictures a step, each contrasted with all others; of several processes each contrasts its own.
        precision: auto is bf16 where the processor has it.
    """

    run: Path = Path("runs/tiny-clip")
    minutes: float | None = None
    steps: int | None = None
    seed: int = 0
    batch: int = 64
    precision: Precision = "auto"

    @property
    def budget(self) -> Budget:
        return Budget.asked(USUAL_MINUTES, steps=self.steps, minutes=self.minutes)


class Contrast:
    """The loop's method: pictures mirrored and shifted, each with one of its sentences.

    Where sentences have contraries, that of the sentence comes with it.
    """

    def __init__(
        self, data: Captioned, tokenizer: Any, sizes: ClipSizes, batch: int, seed: int
    ) -> None:
        torch.manual_seed(derive(seed, "weights"))
        self.data, self.seed = data, seed
        self.batch_size, self.dataset_size = batch, len(data)
        self.side, self.patch = data.images.size[0], sizes.patch
        self.module: Any = small_clip(tokenizer, self.side, sizes)
        self.sight = small_sight(self.side)
        self.tokens = tokenizer(
            list(data.sentences),
            padding="longest",
            max_length=sizes.context,
            truncation=True,
            return_tensors="pt",
        )["input_ids"]
        self.turn = Turn(self.loss, optimizers_of(self.module), whole=True, after=_keep_scale)

    def turns(self, step: int) -> list[Turn]:
        return [self.turn]

    def draw(self, step: int, turn: int = 0) -> Batch:
        """Standardised pictures, what is true of them, and sentences: tokens (B, 1 or 2, L) and meanings.

        Of scenes that are contrasted also what is not asked of them, and in most steps the patches to read.

        The same for the same (seed, step).
        """
        stream = torch_stream(self.seed, "train", step)
        chosen = epoch_order(step, self.batch_size, self.dataset_size, self.seed)
        images = mirror_and_shift(to_unit(self.data.images.images[chosen], black=0.0), stream)
        said = sentences_of(self.data, chosen, stream)
        drawn = {
            "image": self.sight.standardise(images),
            "tokens": self.tokens[said],
            "meanings": self.data.meanings[said],
            "truths": self.data.truths[chosen],
        }
        if self.data.unasked is not None:
            drawn["unasked"] = self.data.unasked[chosen]
            if step % WHOLE:
                count = round(BUSY * (self.side // self.patch) ** 2)
                drawn["kept"] = busiest(images, self.patch, count)
        return drawn

    def loss(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        clip: Any = module
        if "kept" in batch:
            images = features_of_patches(clip, batch["image"], batch["kept"]).float()
        else:
            images = clip.get_image_features(pixel_values=batch["image"]).pooler_output.float()
        # First the sentences of the pictures, then their contraries.
        tokens, meanings = (
            batch[name].transpose(0, 1).flatten(0, 1) for name in ("tokens", "meanings")
        )
        texts = clip.get_text_features(input_ids=tokens).pooler_output.float()
        images, texts = F.normalize(images, dim=1), F.normalize(texts, dim=1)
        scale = clip.logit_scale.exp()
        true = alike(batch["truths"], meanings)
        spared = true | alike(batch["unasked"], meanings) if "unasked" in batch else true
        loss = contrastive_loss(images, texts, scale, spared)
        best = (images @ texts.T).argmax(1, keepdim=True)
        return {"loss": loss, "found": true.gather(1, best).float().mean()}

    def rate(self, progress: float) -> float:
        return warmup_then_linear(progress)


def train(settings: TinyClipSettings, sizes: ClipSizes = SIZES) -> RunFolder:
    """Trains a CLIP into a new run folder; Ctrl-C saves, `marmor resume` goes on.

    Raises UserError for wishes that cannot be and data that cannot be read, before anything is written.
    """
    if settings.batch < 2:
        raise UserError(
            f"--batch must be at least 2, to have something to contrast, not {settings.batch}."
        )
    _ = settings.budget
    require_transformers()
    pictures = pictures_of(settings)
    config = {
        "asked": plain(settings),
        "model": asdict(sizes),
        "data": facts_of_captioned(pictures.seen),
    }
    run = RunFolder.create_once(settings.run, RECIPE, config)
    console.print(
        f"training a CLIP on {len(pictures.seen):,} pictures and "
        f"{len(pictures.seen.captions.unique()):,} sentences for {settings.budget} → {settings.run}"
    )
    _fit(run, settings, sizes, *pictures)
    return run


def resume(run: RunFolder) -> None:
    """Goes on with an interrupted run to the end of its budget."""
    config = run.config["settings"]
    labels = config["asked"]["labels"]
    asked = {**config["asked"], "labels": None if labels is None else Path(labels)}
    settings = TinyClipSettings(**asked, run=run.path)
    model = config["model"]
    sizes = ClipSizes(**{**model, "vision": tuple(model["vision"]), "text": tuple(model["text"])})
    pictures = pictures_of(settings)
    check_same(run, facts_of_captioned(pictures.seen)["fingerprint"])
    _fit(run, settings, sizes, *pictures)


def require_transformers() -> None:
    """UserError where transformers is not installed."""
    try:
        import transformers  # noqa: F401
    except ImportError:
        raise UserError(f"a CLIP is made with transformers; {INSTALL}") from None


def pictures_of(settings: TinyClipSettings) -> Pictures:
    """What is learned from, rendered scenes as SCENES says; UserError as ``load_pictures`` raises it."""
    return load_pictures(settings, settings.seed, SCENES)


def _fit(
    run: RunFolder,
    settings: TinyClipSettings,
    sizes: ClipSizes,
    seen: Captioned,
    held_out: HeldOut | None,
) -> None:
    tokenizer = clip_tokenizer(seen.sentences, sizes.context)
    method = Contrast(seen, tokenizer, sizes, settings.batch, settings.seed)
    loop = LoopSettings(settings.budget, ema=EMA, precision=settings.precision)
    folder = run.path / "clip"
    with first_alone() as first:
        if first:
            shutil.rmtree(folder, ignore_errors=True)  # a longer budget's is another one
    with progress_bar("training") as bar:
        average = fit(
            method,
            run,
            loop,
            lambda share, at: bar(share, f"loss {at['loss']:.3f}  found {at['found']:.3f}"),
        )
    with first_alone() as first:
        if first:
            with whole_folder(folder) as place, quiet():
                save_clip(average.module, tokenizer, place)
            if held_out is not None:
                _tell(run, held_out)
    console.print(f"the model: {folder}; ask it: marmor zero-shot --model {folder} --images …")


def _tell(run: RunFolder, held_out: HeldOut) -> None:
    """Writes and prints how often words alone find what was never seen."""
    clip = load_hub_clip(run.path / "clip")
    with torch.inference_mode():
        embedded = [clip.images(part) for part in held_out.images.images.split(READ_BATCH)]
    directions = ensemble(embed_prompts(clip, held_out.templates, held_out.names))
    scores = logits(clip.facts, torch.cat(embedded), directions)
    found = top(scores, held_out.truth, 1)
    chance = 1 / len(held_out.names)
    write_json(
        run.path / "summary.json",
        {
            **with_interval("held_out.top1", found),
            "held_out.chance": chance,
            "held_out.pictures": found.count,
            "held_out.classes": [held_out.names[k] for k in held_out.truth.unique().tolist()],
            "held_out.among": list(held_out.names),
        },
    )
    console.print(
        f"of {found.count:,} pictures of classes never seen, words alone find {100 * found.value:.1f} % "
        f"({100 * found.low:.1f} to {100 * found.high:.1f}) among {len(held_out.names)}; chance "
        f"{100 * chance:.1f} % → {run.path / 'summary.json'}"
    )


def _keep_scale(module: nn.Module, scalars: dict[str, float]) -> None:
    """The scale stays at 100 or below (Radford et al. 2021, section 2.5)."""
    clip: Any = module
    clip.logit_scale.data.clamp_(max=LARGEST_SCALE)
