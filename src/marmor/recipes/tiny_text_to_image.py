"""A small pipeline of diffusers, from nothing: `marmor train tiny-text-to-image` (S8).

First an autoencoder, then a U-Net and a text encoder together, on its latents (Rombach et al. 2022).
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from marmor.base.errors import UserError
from marmor.base.files import write_json
from marmor.base.pixels import to_bytes, to_unit
from marmor.base.progress import console, progress_bar
from marmor.base.seeds import derive, torch_stream
from marmor.data import Captioned, SceneWishes, epoch_order
from marmor.data.scenes import UNSEEN
from marmor.figures import grid, pairs, save_png
from marmor.language import clip_tokenizer
from marmor.personalization import spread_steps, squared_error
from marmor.recipes import tiny_autoencoder, tiny_clip
from marmor.recipes.captioned_data import (
    SCENES,
    CaptionWishes,
    facts_of_captioned,
    load_pictures,
    plain,
    sentences_of,
)
from marmor.recipes.folders import hub_folder
from marmor.recipes.text_to_image import (
    attend_for_training,
    image_side,
    training_scheduler,
)
from marmor.recipes.tiny_autoencoder import Coding, code, there_and_back, whiten
from marmor.recipes.tiny_parts import (
    PipelineSizes,
    Words,
    autoencoder,
    new_words,
    optimizers_of,
    pipeline_of,
    require_diffusers,
    save_pipeline,
    unet,
    words_of_clip,
)
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
from marmor.training.processes import first_alone, processes

RECIPE = "tiny-text-to-image"
USUAL_MINUTES = 65.0
CODER_SHARE = 0.1
"""Of the minutes, what the autoencoder gets."""
SIZES = PipelineSizes()
EMA = 0.995
DROPPED = 0.1
"""Of the captions, how many are left out, so that guidance has something to point away from."""
PARTLY = 0.15
"""Of the objects in sentences about scenes, how many are called by shape or colour alone: "a cube" is what
personalization starts from."""
GUIDANCE = 4.0
SHEET_STEPS = 20
SHEET_COLUMNS = 6
PROMPTS = (
    "a photo of a blue sphere",
    "a green cylinder on a table",
    "a red cube next to a gray cylinder",
    "a yellow cube, a blue cylinder and a red sphere",
    *(f"a photo of a {name}" for name in UNSEEN),
)
"""Of scenes: some that training knows, and objects that it has never seen."""
READ = 200
"""Pictures on which the autoencoder is measured; training has seen them."""
SENTENCES = 8
"""Of other data, prompts of the sheet."""


@dataclass(frozen=True, kw_only=True)
class TinyTextToImageSettings(CaptionWishes):
    """What `marmor train tiny-text-to-image` can be told.

    Args:
        clip: a CLIP folder, a run of `marmor train tiny-clip` or pretrained:tiny-clip, whose tokenizer and
            text encoder training starts from; both new when left out.
        run: the run folder to write; the model lies in its folder pipeline.
        minutes: budget in minutes of training, 65 when nothing is said, a tenth of it for the autoencoder.
        steps: budget in optimizer steps of each of the two.
        seed: everything random follows from it.
        batch: pictures a step.
        precision: auto is bf16 where the processor has it.
    """

    clip: Path | None = None
    run: Path = Path("runs/tiny-text-to-image")
    minutes: float | None = None
    steps: int | None = None
    seed: int = 0
    batch: int = 32
    precision: Precision = "auto"

    @property
    def budget(self) -> Budget:
        """Of both trainings together, where it is one of minutes; else of each."""
        return Budget.asked(USUAL_MINUTES, steps=self.steps, minutes=self.minutes)


class TextToImage:
    """The loop's method: latents of pictures with one of their sentences, or with none."""

    def __init__(
        self,
        data: Captioned,
        latents: tuple[Tensor, Tensor],
        words: Words,
        sizes: PipelineSizes,
        batch: int,
        seed: int,
    ) -> None:
        torch.manual_seed(derive(seed, "weights", "unet"))
        self.data, self.latents, self.seed = data, latents, seed
        self.batch_size, self.dataset_size = batch, len(data)
        network = unet(sizes, data.images.size[0], words.encoder.config.hidden_size)
        self.module = nn.ModuleDict({"text_encoder": words.encoder, "unet": network})
        self.scheduler = training_scheduler(pipeline_of(words, network, None))
        self.tokens, self.nothing = tokens_of(words.tokenizer, data.sentences)
        self.turn = Turn(self.loss, optimizers_of(self.module))

    def turns(self, step: int) -> list[Turn]:
        return [self.turn]

    def draw(self, step: int, turn: int = 0) -> Batch:
        """Latents, tokens, noises and steps; the same for the same (seed, step)."""
        stream = torch_stream(self.seed, "train", step)
        chosen = epoch_order(step, self.batch_size, self.dataset_size, self.seed)
        tokens = self.tokens[sentences_of(self.data, chosen, stream)[:, 0]]
        dropped = torch.rand((self.batch_size, 1), generator=stream) < DROPPED
        mean, deviation = (values[chosen] for values in self.latents)
        noise, spread = torch.randn((2, *mean.shape), generator=stream)
        times = self.scheduler.config["num_train_timesteps"]
        return {
            "latents": mean + deviation * spread,
            "tokens": torch.where(dropped, self.nothing, tokens),
            "noise": noise,
            "steps": spread_steps(times, self.batch_size, stream),
        }

    def loss(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        assert isinstance(module, nn.ModuleDict)
        encoder: Any = module["text_encoder"]
        states = encoder(input_ids=batch["tokens"]).last_hidden_state
        latents, noise = batch["latents"], batch["noise"]
        error = squared_error(
            module["unet"], self.scheduler, latents, states, noise, batch["steps"]
        )
        return {"loss": error.mean()}

    def rate(self, progress: float) -> float:
        return warmup_then_linear(progress)


def train(settings: TinyTextToImageSettings, sizes: PipelineSizes = SIZES) -> RunFolder:
    """Trains a pipeline into a new run folder; Ctrl-C saves, `marmor resume` goes on.

    Raises UserError for wishes that cannot be and data that cannot be read, before anything is written.
    """
    if settings.batch < 1:
        raise UserError(f"--batch must be at least 1, not {settings.batch}.")
    _ = settings.budget
    require_diffusers()
    if settings.clip is not None:
        settings = replace(settings, clip=hub_folder(settings.clip, tiny_clip.RECIPE))
    data = _pictures(settings)
    words = _words(settings, sizes, data)
    config = {
        "asked": plain(settings),
        "model": asdict(sizes),
        "data": facts_of_captioned(data),
    }
    run = RunFolder.create_once(settings.run, RECIPE, config)
    console.print(
        f"training a text-to-image pipeline on {len(data):,} pictures and {len(data.sentences):,} "
        f"sentences for {settings.budget} → {settings.run}"
    )
    _go_on(run, settings, sizes, data, words)
    return run


def resume(run: RunFolder) -> None:
    """Goes on with an interrupted run to the end of its budget."""
    config = run.config["settings"]
    asked = dict(config["asked"])
    for name in ("labels", "clip"):
        asked[name] = None if asked[name] is None else Path(asked[name])
    settings = TinyTextToImageSettings(**asked, run=run.path)
    model: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in config["model"].items()
    }
    sizes = PipelineSizes(**model)
    require_diffusers()
    data = _pictures(settings)
    check_same(run, facts_of_captioned(data)["fingerprint"])
    _go_on(run, settings, sizes, data, _words(settings, sizes, data))


def tokens_of(tokenizer: Any, sentences: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Tokens of sentences (N, L) and of none (L,), as pipelines give them to their text encoder, int64."""
    found = tokenizer([*sentences, ""], padding="max_length", truncation=True, return_tensors="pt")[
        "input_ids"
    ]
    return found[:-1], found[-1]


def _pictures(settings: TinyTextToImageSettings) -> Captioned:
    return load_pictures(settings, settings.seed, SceneWishes(partly=PARTLY)).seen


def _words(settings: TinyTextToImageSettings, sizes: PipelineSizes, data: Captioned) -> Words:
    if settings.clip is not None:
        return words_of_clip(settings.clip)
    torch.manual_seed(derive(settings.seed, "weights", "words"))
    return new_words(clip_tokenizer(data.sentences, sizes.context), sizes)


def _go_on(
    run: RunFolder,
    settings: TinyTextToImageSettings,
    sizes: PipelineSizes,
    data: Captioned,
    words: Words,
) -> None:
    coder = _coder(run, settings, sizes, data)
    latents = whiten(coder, *code(coder, data.images))
    coder.register_to_config(scaling_factor=1.0)
    method = TextToImage(data, latents, words, sizes, settings.batch, settings.seed)
    attend_for_training(method.module["unet"], settings.precision)
    budget = settings.budget
    if budget.minutes is not None:
        budget = Budget(minutes=budget.minutes - coder_seconds(run) / 60)
    loop = LoopSettings(budget, ema=EMA, precision=settings.precision)
    with first_alone() as first:
        if first:
            # A longer budget's is another one.
            shutil.rmtree(run.path / "pipeline", ignore_errors=True)
    with progress_bar("training the U-Net and the text encoder") as bar:
        average = fit(
            method, run, loop, lambda share, record: bar(share, f"loss {record['loss']:.4f}")
        )
    learned = average.module
    assert isinstance(learned, nn.ModuleDict)
    pipeline = pipeline_of(Words(words.tokenizer, learned["text_encoder"]), learned["unet"], coder)
    with first_alone() as first:
        if first:
            save_pipeline(pipeline, run.path / "pipeline")
            _show(run, pipeline, data, settings)


def coder_seconds(run: RunFolder) -> float:
    """How long a run's autoencoder has been trained, which the run's own log does not count."""
    history = _coder_run(run).history()
    return history[-1]["seconds"] if history else 0.0


def _coder_run(run: RunFolder) -> RunFolder:
    return RunFolder(run.path / "autoencoder")


def _coder(
    run: RunFolder, settings: TinyTextToImageSettings, sizes: PipelineSizes, data: Captioned
) -> Any:
    """The trained autoencoder, from a run of its own within the run."""
    inner = _coder_run(run)
    if run.checkpoints.latest() is not None:
        # Latents must stay what the U-Net knows: a longer budget is the U-Net's alone.
        coder = autoencoder(sizes, data.images.size[0])
        coder.load_state_dict(inner.average_weights())
        return coder.to(processes().device).eval().requires_grad_(False)
    if not (inner.path / "config.json").is_file():
        inner = RunFolder.create_once(inner.path, tiny_autoencoder.RECIPE, {"part of": RECIPE})
    budget = settings.budget
    if budget.minutes is not None:
        budget = Budget(minutes=CODER_SHARE * budget.minutes)
    loop = LoopSettings(
        budget, ema=tiny_autoencoder.EMA, precision=settings.precision, channels_last=False
    )
    with progress_bar("training the autoencoder") as bar:
        average = fit(
            Coding(data.images, sizes, settings.seed),
            inner,
            loop,
            lambda share, record: bar(share, f"error {record['error']:.4f}"),
        )
    return average.module


def _show(
    run: RunFolder, pipeline: Any, data: Captioned, settings: TinyTextToImageSettings
) -> None:
    """Pictures of prompts, and of what the autoencoder gives back; figures in summary.json."""
    stream = torch_stream(settings.seed, "shown")
    some = data.images.images[torch.randperm(len(data), generator=stream)[:READ]]
    back = there_and_back(pipeline.vae, some)
    error = (back - to_unit(some)).square().mean().item()
    shown = pairs(some[:SENTENCES], to_bytes(back[:SENTENCES])[:, None], right_label="back")
    save_png(shown, run.path / "figures" / "autoencoder.png")
    prompts = PROMPTS
    if settings.data != SCENES:
        order = torch.randperm(len(data.sentences), generator=stream)[:SENTENCES]
        prompts = tuple(data.sentences[k] for k in order.tolist())
    sheet = run.path / "figures" / "prompts.png"
    drawn = _drawn(pipeline, prompts, settings.seed)
    save_png(grid(drawn, SHEET_COLUMNS, row_labels=prompts), sheet)
    figures = {
        "autoencoder.psnr": 10 * torch.log10(torch.tensor(4 / error)).item(),
        "autoencoder.pictures": len(some),
        "side": image_side(pipeline),
        "prompts": list(prompts),
        "guidance": GUIDANCE,
        "calls": SHEET_STEPS,
    }
    write_json(run.path / "summary.json", figures)
    console.print(f"the model: {run.path / 'pipeline'}; prompts as pictures: {sheet}")


@torch.inference_mode()
def _drawn(pipeline: Any, prompts: Sequence[str], seed: int) -> Tensor:
    """uint8 (prompts · SHEET_COLUMNS, 3, S, S); pictures below each other start from the same noise."""
    noises = [torch_stream(seed, "prompts", k) for _ in prompts for k in range(SHEET_COLUMNS)]
    with progress_bar("drawing prompts") as bar:

        def watch(pipe: Any, step: int, time: Any, kept: dict[str, Any]) -> dict[str, Any]:
            bar((step + 1) / SHEET_STEPS)
            return kept

        images = pipeline(
            [prompt for prompt in prompts for _ in range(SHEET_COLUMNS)],
            num_inference_steps=SHEET_STEPS,
            guidance_scale=GUIDANCE,
            generator=noises,
            output_type="pt",
            callback_on_step_end=watch,
        ).images
    return to_bytes(images, black=0.0)
