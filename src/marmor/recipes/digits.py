"""Training of class-conditional diffusion models (S1): `marmor train digits`."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from marmor.base.conditions import drop_each
from marmor.base.errors import UserError, unknown_name
from marmor.base.pixels import to_unit
from marmor.base.progress import console, progress_bar
from marmor.base.seeds import derive, torch_stream
from marmor.data import ImageSet, MixedSizesError, read, require_classes
from marmor.diffusion import Denoiser
from marmor.networks.uvit import PIXELS_PER_TOKEN
from marmor.recipes.designs import DESIGNS, Design, Shape
from marmor.recipes.drawing import as_images, draw
from marmor.recipes.generators import Generator
from marmor.recipes.models import find_judge
from marmor.recipes.scoring import accuracy, check_judge, judge_images
from marmor.training import (
    Average,
    Batch,
    Budget,
    LoopSettings,
    Precision,
    Probe,
    RunFolder,
    fit,
)

RECIPE = "digits"
LARGEST_SIDE = 64
DEFAULT_SIDE = 32
DEFAULT_MINUTES = 10.0
LABEL_DROPOUT = 0.1
PROBED = 10
"""Images of each class that a milestone judges."""


@dataclass(frozen=True)
class DigitsSettings:
    """What `marmor train digits` can be told.

    Args:
        data: an embedded name (digits, mnist-m) or a path: class folders, course layout, .npz, .zip.
        run: the run folder to write.
        minutes: budget in minutes of training; one of minutes, steps, images, epochs.
        steps: budget in optimizer steps.
        images: budget in images seen.
        epochs: budget in passes over the data.
        seed: everything random follows from it.
        network: uvit (the default), unet (diffusers can load it) or context-unet (the published recipe).
        batch: images a step; the network's own choice when left out.
        size: side to crop and resize images to; their own when left out.
        judge: reads the images drawn at milestones; the shipped one for digits when left out.
        precision: auto is bf16 where the processor has it.
    """

    data: str = "mnist-m"
    run: Path = Path("runs/digits")
    minutes: float | None = None
    steps: int | None = None
    images: int | None = None
    epochs: float | None = None
    seed: int = 0
    network: str = "uvit"
    batch: int | None = None
    size: int | None = None
    judge: str | None = None
    precision: Precision = "auto"

    @property
    def budget(self) -> Budget:
        given = (self.minutes, self.steps, self.images, self.epochs)
        if all(value is None for value in given):
            return Budget(minutes=DEFAULT_MINUTES)
        return Budget(self.steps, self.images, self.epochs, self.minutes)


class ConditionalDiffusion:
    """The training method: noise a batch, drop labels, compare the output with its target."""

    def __init__(
        self, denoiser: Denoiser, design: Design, data: ImageSet, batch_size: int, seed: int
    ) -> None:
        self.module = denoiser
        self.design = design
        self.data = data
        self.batch_size = batch_size
        self.seed = seed
        self.optimizers = design.optimizers(denoiser)
        self.dataset_size = len(data)

    def draw(self, step: int) -> Batch:
        """Images, noise, times and labels of one step; the same for the same (seed, step)."""
        stream = torch_stream(self.seed, "train", step)
        chosen = epoch_order(step, self.batch_size, self.dataset_size, self.seed)
        labels = {"class": self.data.labels["class"][chosen]}
        image = to_unit(self.data.images[chosen])
        return {
            "image": image,
            "noise": torch.randn(image.shape, generator=stream),
            "time": self.design.times.draw(self.batch_size, stream),
            **drop_each(self.module.kinds, labels, LABEL_DROPOUT, stream),
        }

    def loss(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        assert isinstance(module, Denoiser)
        conditions = {name: batch[name] for name in self.module.kinds}
        error = module.squared_error(batch["image"], batch["noise"], batch["time"], conditions)
        if self.design.weighting is not None:
            error = error * self.design.weighting.weight(module, batch["time"])
        return {"loss": error.mean()}

    def rate(self, progress: float) -> float:
        return self.design.rate(progress)


def epoch_order(step: int, batch: int, count: int, seed: int) -> Tensor:
    """Indices of a step's images: each epoch is a permutation of all of them, epochs follow on.

    Returns int64 of shape (batch,).
    """
    first = step * batch
    epochs = range(first // count, (first + batch - 1) // count + 1)
    order = torch.cat([_permutation(count, seed, epoch) for epoch in epochs])
    start = first - epochs[0] * count
    return order[start : start + batch]


_remembered: dict[tuple[int, int, int], Tensor] = {}


def _permutation(count: int, seed: int, epoch: int) -> Tensor:
    """The order of one epoch; the last two are remembered."""
    key = (count, seed, epoch)
    if key not in _remembered:
        while len(_remembered) > 1:
            _remembered.pop(next(iter(_remembered)))
        _remembered[key] = torch.randperm(count, generator=torch_stream(seed, "epoch", epoch))
    return _remembered[key]


def train(settings: DigitsSettings) -> RunFolder:
    """Trains a model into a new run folder; Ctrl-C saves, `marmor resume` goes on."""
    if settings.network not in DESIGNS:
        raise unknown_name("network", settings.network, DESIGNS)
    if settings.batch is not None and settings.batch < 1:
        raise UserError(f"--batch must be at least 1, not {settings.batch}.")
    budget = settings.budget
    data = load_images(settings.data, settings.size)
    check_judge(find_judge(settings.judge, data.class_names), data)
    for note in data.notes:
        console.print(f"note: {note}")
    run = RunFolder.create_once(settings.run, RECIPE, config_of(settings, data))
    console.print(
        f"training {settings.network} on {len(data):,} images of {settings.data} "
        f"({len(data.class_names)} classes) for {budget} → {settings.run}"
    )
    _fit(run, settings, data)
    return run


def resume(run: RunFolder) -> None:
    """Goes on with an interrupted run to the end of its budget."""
    config = run.config["settings"]
    settings = DigitsSettings(**{**config["asked"], "run": run.path})
    data = load_images(settings.data, settings.size)
    check_same_images(run, data)
    _fit(run, settings, data)


def check_same_images(run: RunFolder, data: ImageSet) -> None:
    """Raises UserError where ``data`` is not what the run began with."""
    if data.fingerprint() != run.config["settings"]["data"]["fingerprint"]:
        raise UserError(
            f"the data changed since {run.path} began (another fingerprint); "
            "a run can only go on with the images it started with."
        )


def load_images(spec: str, size: int | None) -> ImageSet:
    """Labelled training images at a size that the networks take.

    Mixed or large images become 32×32; other sides are rounded to a multiple of 4. Notes say so.
    """
    try:
        data = read(spec, "train", size)
    except MixedSizesError:
        data = read(spec, "train", DEFAULT_SIDE)
    require_classes(data)
    height, width = data.size
    side = min(height, width)
    if size is None and side > LARGEST_SIDE:
        return data.resized(DEFAULT_SIDE)
    rounded = max(PIXELS_PER_TOKEN * round(side / PIXELS_PER_TOKEN), 2 * PIXELS_PER_TOKEN)
    return data if height == width == rounded else data.resized(rounded)


def config_of(settings: DigitsSettings, data: ImageSet) -> dict[str, Any]:
    """What config.json keeps: the wishes, the model's shape, and which images it was."""
    asked = {**asdict(settings), "run": str(settings.run)}
    model = {
        "network": settings.network,
        "image_shape": list(data.images.shape[1:]),
        "class_names": list(data.class_names),
    }
    facts = {"count": len(data), "fingerprint": data.fingerprint(), "notes": list(data.notes)}
    return {"asked": asked, "model": model, "data": facts}


def _fit(run: RunFolder, settings: DigitsSettings, data: ImageSet) -> Average:
    design = DESIGNS[settings.network]
    shape: Shape = (data.channels, *data.size)
    torch.manual_seed(derive(settings.seed, "weights"))  # initial weights use the global stream
    denoiser = design.build(shape, len(data.class_names))
    method = ConditionalDiffusion(
        denoiser, design, data, settings.batch or design.batch_size, settings.seed
    )
    loop = LoopSettings(settings.budget, ema=design.ema, precision=settings.precision)
    probe = _probe(design, data, shape, settings)
    with progress_bar("training") as bar:
        return fit(
            method,
            run,
            loop,
            lambda share, at: bar(share, f"loss {at['loss']:.4f}  step {at['step']:,}"),
            probe,
        )


def _probe(design: Design, data: ImageSet, shape: Shape, settings: DigitsSettings) -> Probe | None:
    """Judges a few guided images of the averaged model; None where no judge knows the classes."""
    judge = find_judge(settings.judge, data.class_names)
    if judge is None:
        return None

    def probe(denoiser: nn.Module) -> dict[str, float]:
        assert isinstance(denoiser, Denoiser)
        generator = Generator(denoiser, data.class_names, shape, design.drawing, "training")
        images = as_images(draw(generator, data.class_names, PROBED, settings.seed), generator)
        result = accuracy(judge, images, judge_images(judge, images))
        return {"judge.accuracy": result.overall.value}

    return probe
