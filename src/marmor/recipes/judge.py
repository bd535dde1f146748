"""Training of the judge that reads digits: `marmor train judge`."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from marmor.base.errors import UserError
from marmor.base.pixels import to_unit
from marmor.base.progress import console, progress_bar
from marmor.base.seeds import derive, torch_stream
from marmor.data import ImageSet, epoch_order, join
from marmor.data.augment import augment
from marmor.networks.judges import DigitJudge, Judge
from marmor.recipes.training_images import check_same_images, facts_of, load_images
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

RECIPE = "judge"


@dataclass(frozen=True, kw_only=True)
class JudgeTraining:
    """What the training of any judge can be told.

    Args:
        minutes: budget in minutes; one of minutes, steps, epochs.
        steps: budget in optimizer steps.
        epochs: budget in passes over the data.
        seed: everything random follows from it.
        precision: auto is bf16 where the processor has it.
    """

    default_epochs: ClassVar[float] = 6.0

    minutes: float | None = None
    steps: int | None = None
    epochs: float | None = None
    seed: int = 0
    precision: Precision = "auto"

    @property
    def budget(self) -> Budget:
        if all(value is None for value in (self.minutes, self.steps, self.epochs)):
            return Budget(epochs=self.default_epochs)
        return Budget(self.steps, None, self.epochs, self.minutes)


@dataclass(frozen=True)
class JudgeSettings(JudgeTraining):
    """What `marmor train judge` can be told.

    Args:
        data: one or several sets of labelled images with the same classes; all are trained on.
        run: the run folder to write.
        size: side to crop and resize images to; their own when left out.
    """

    data: tuple[str, ...] = ("mnist-m",)
    run: Path = Path("runs/judge")
    size: int | None = None


class Classification:
    """The training method: augmented images and cross-entropy.

    Without label smoothing, which would press the features of a class together (Kornblith et al.
    2021), and distances between sets of images are measured on them.
    """

    batch_size = 128

    def __init__(self, judge: Judge, data: ImageSet, seed: int) -> None:
        self.module = judge
        self.data = data
        self.seed = seed
        self.dataset_size = len(data)
        adamw = torch.optim.AdamW(judge.parameters(), lr=4e-3, weight_decay=0.05)
        self.turn = Turn(self.loss, Optimizers([adamw]))

    def turns(self, step: int) -> list[Turn]:
        return [self.turn]

    def draw(self, step: int, turn: int = 0) -> Batch:
        chosen = epoch_order(step, self.batch_size, self.dataset_size, self.seed)
        images = to_unit(self.data.images[chosen])
        images = augment(images, torch_stream(self.seed, "augment", step))
        return {"image": images, "label": self.data.labels["class"][chosen]}

    def loss(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        logits = module(batch["image"].contiguous(memory_format=torch.channels_last)).float()
        hits = logits.argmax(1) == batch["label"]
        loss = F.cross_entropy(logits, batch["label"])
        return {"loss": loss, "accuracy": hits.float().mean()}

    def rate(self, progress: float) -> float:
        return warmup_then_linear(progress, warmup=0.1)


def train(settings: JudgeSettings) -> RunFolder:
    """Trains a judge into a new run folder."""
    budget = settings.budget
    data = _load(settings)
    config = {
        "asked": {**asdict(settings), "run": str(settings.run)},
        "model": {
            "channels": data.channels,
            "side": min(data.size),
            "class_names": list(data.class_names),
        },
        "data": facts_of(data),
    }
    run = RunFolder.create_once(settings.run, RECIPE, config)
    console.print(
        f"training a judge on {len(data):,} images of {' + '.join(settings.data)} "
        f"for {budget} → {settings.run}"
    )
    _fit(run, settings, data)
    return run


def resume(run: RunFolder) -> None:
    """Goes on with an interrupted run."""
    config = run.config["settings"]
    asked = {**config["asked"], "data": tuple(config["asked"]["data"]), "run": run.path}
    settings = JudgeSettings(**asked)
    data = _load(settings)
    check_same_images(run, data)
    _fit(run, settings, data)


def _load(settings: JudgeSettings) -> ImageSet:
    if not settings.data:
        raise UserError("--data names no images; give an embedded name or a path.")
    return join([load_images(spec, settings.size) for spec in settings.data])


def _fit(run: RunFolder, settings: JudgeSettings, data: ImageSet) -> None:
    torch.manual_seed(derive(settings.seed, "weights"))
    judge = DigitJudge(len(data.class_names), data.channels)
    method = Classification(judge, data, settings.seed)
    loop = LoopSettings(settings.budget, ema=0.99, precision=settings.precision)
    with progress_bar("training") as bar:
        fit(
            method,
            run,
            loop,
            lambda share, at: bar(share, f"loss {at['loss']:.3f}  accuracy {at['accuracy']:.3f}"),
        )
