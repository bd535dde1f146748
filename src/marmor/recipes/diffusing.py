"""Training of diffusion models, whatever their images show."""

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
from marmor.data import ImageSet, epoch_order
from marmor.diffusion import Denoiser
from marmor.recipes.conditions import kinds_of, told
from marmor.recipes.designs import DESIGNS, Design, Shape
from marmor.recipes.training_images import facts_of
from marmor.training import (
    Average,
    Batch,
    Budget,
    LoopSettings,
    Precision,
    Probe,
    RunFolder,
    Turn,
    fit,
)

DEFAULT_MINUTES = 10.0
LABEL_DROPOUT = 0.1


@dataclass(frozen=True)
class DiffusionSettings:
    """What every recipe that trains a diffusion model can be told.

    Args:
        data: an embedded name or a path: class folders, course layout, a folder, .npz, .zip.
        run: the run folder to write.
        minutes: budget in minutes of training; one of minutes, steps, images, epochs.
        steps: budget in optimizer steps.
        images: budget in images seen.
        epochs: budget in passes over the data.
        seed: everything random follows from it.
        network: uvit (the default), unet (diffusers can load it), report-unet (of the report on i-CLEVR),
            context-unet (the published recipe, for classes), or what studies compare uvit with:
            uvit-summed-0, -1 or -2, uvit-velocity, uvit-image, uvit-noise.
        batch: images a step; the network's own choice when left out.
        size: side to crop and resize images to; their own when left out.
        precision: auto is bf16 where the processor has it.
    """

    data: str | tuple[str, ...]
    run: Path
    minutes: float | None = None
    steps: int | None = None
    images: int | None = None
    epochs: float | None = None
    seed: int = 0
    network: str = "uvit"
    batch: int | None = None
    size: int | None = None
    precision: Precision = "auto"

    @property
    def budget(self) -> Budget:
        return Budget.asked(
            DEFAULT_MINUTES,
            steps=self.steps,
            images=self.images,
            epochs=self.epochs,
            minutes=self.minutes,
        )


class Diffusion:
    """The training method: noise a batch, drop labels, compare the output with its target."""

    def __init__(
        self, denoiser: Denoiser, design: Design, data: ImageSet, batch_size: int, seed: int
    ) -> None:
        self.module = denoiser
        self.design = design
        self.times = design.times((data.channels, *data.size))
        self.data = data
        self.batch_size = batch_size
        self.seed = seed
        self.turn = Turn(self.loss, design.optimizers(denoiser))
        self.dataset_size = len(data)

    def turns(self, step: int) -> list[Turn]:
        return [self.turn]

    def draw(self, step: int, turn: int = 0) -> Batch:
        """Images, noise, times and labels of one step; the same for the same (seed, step)."""
        stream = torch_stream(self.seed, "train", step)
        chosen = epoch_order(step, self.batch_size, self.dataset_size, self.seed)
        kinds = self.module.kinds
        labels = {n: kind.encode(self.data.labels[n][chosen]) for n, kind in kinds.items()}
        image = to_unit(self.data.images[chosen])
        return {
            "image": image,
            "noise": torch.randn(image.shape, generator=stream),
            "time": self.times.draw(self.batch_size, stream),
            **drop_each(kinds, labels, LABEL_DROPOUT, stream),
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


def check_settings(settings: DiffusionSettings) -> None:
    """Raises UserError for what no data could make possible."""
    if settings.network not in DESIGNS:
        raise unknown_name("network", settings.network, DESIGNS)
    if settings.batch is not None and settings.batch < 1:
        raise UserError(f"--batch must be at least 1, not {settings.batch}.")
    _ = settings.budget  # raises for two budgets


def check_buildable(settings: DiffusionSettings, data: ImageSet) -> None:
    """Raises UserError where the network cannot be built for such images and labels."""
    DESIGNS[settings.network].build((data.channels, *data.size), kinds_of(data))


def begin(recipe: str, settings: DiffusionSettings, data: ImageSet) -> RunFolder:
    """A new run folder; says what is going to be trained on what.

    Raises UserError before there is a folder where the network cannot be built for such images.
    """
    check_buildable(settings, data)
    for note in data.notes:
        console.print(f"note: {note}")
    run = RunFolder.create_once(settings.run, recipe, config_of(settings, data))
    specs = (settings.data,) if isinstance(settings.data, str) else settings.data
    classes = f" ({len(data.class_names)} classes)" if data.class_names else ""
    console.print(
        f"training {settings.network} on {len(data):,} images of {' + '.join(specs)}{classes} "
        f"for {settings.budget} → {settings.run}"
    )
    return run


def config_of(settings: DiffusionSettings, data: ImageSet) -> dict[str, Any]:
    """What config.json keeps: the wishes, the model's shape, and which images it was."""
    asked = {**asdict(settings), "run": str(settings.run)}
    model = {
        "network": settings.network,
        "image_shape": list(data.images.shape[1:]),
        "conditions": told(data),
    }
    return {"asked": asked, "model": model, "data": facts_of(data)}


def fit_model(
    run: RunFolder, settings: DiffusionSettings, data: ImageSet, probe: Probe | None = None
) -> Average:
    """Trains to the end of the budget, from the run's last checkpoint where it has one."""
    design = DESIGNS[settings.network]
    shape: Shape = (data.channels, *data.size)
    torch.manual_seed(derive(settings.seed, "weights"))  # initial weights use the global stream
    denoiser = design.build(shape, kinds_of(data))
    batch_size = settings.batch or design.batch_size
    method = Diffusion(denoiser, design, data, batch_size, settings.seed)
    loop = LoopSettings(settings.budget, ema=design.ema, precision=settings.precision)
    with progress_bar("training") as bar:
        return fit(
            method,
            run,
            loop,
            lambda share, at: bar(share, f"loss {at['loss']:.4f}  step {at['step']:,}"),
            probe,
        )
