"""Training of the judge that finds objects in scenes (S3): `marmor train scene-judge`."""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from marmor.base.errors import UserError, unknown_name
from marmor.base.files import write_json
from marmor.base.pixels import to_unit
from marmor.base.progress import console, progress_bar
from marmor.base.seeds import derive, torch_stream
from marmor.data import SHOWS, ImageSet, epoch_order, read_scenes
from marmor.data.augment import mirror_and_shift
from marmor.data.scenes import SIDE, SMALLEST_SIDE, scenes_of
from marmor.metrics import object_answers, object_scores
from marmor.networks.object_judges import NETWORKS, ObjectJudge
from marmor.recipes.judge import JudgeTraining
from marmor.recipes.object_judging import JUDGE_RECIPE, figures_of, load_object_judge
from marmor.recipes.scoring import with_interval
from marmor.recipes.training_images import check_same_images, facts_of
from marmor.training import (
    Batch,
    LoopSettings,
    Optimizers,
    RunFolder,
    Turn,
    fit,
    warmup_then_linear,
)

RECIPE = JUDGE_RECIPE
HELD_OUT = 0.1


@dataclass(frozen=True)
class SceneJudgeSettings(JudgeTraining):
    """What `marmor train scene-judge` can be told.

    Args:
        data: a folder in i-CLEVR's layout; render one with another seed than the model's.
        run: the run folder to write.
        network: resnet18 (the course's), or small.
        size: side that other pictures are squashed to.
    """

    default_epochs = 8.0

    data: Path
    run: Path = Path("runs/scene-judge")
    network: str = "resnet18"
    size: int = SIDE


class Detection:
    """The training method: mirrored and shifted pictures, binary cross-entropy for each object."""

    batch_size = 64

    def __init__(self, judge: ObjectJudge, data: ImageSet, seed: int) -> None:
        self.module = judge
        self.data = data
        self.seed = seed
        self.dataset_size = len(data)
        parameters = judge.parameters()
        adamw = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=0.05)
        self.turn = Turn(self.loss, Optimizers([adamw]))

    def turns(self, step: int) -> list[Turn]:
        return [self.turn]

    def draw(self, step: int, turn: int = 0) -> Batch:
        chosen = epoch_order(step, self.batch_size, self.dataset_size, self.seed)
        stream = torch_stream(self.seed, "moved", step)
        images = mirror_and_shift(to_unit(self.data.images[chosen]), stream)
        return {"image": images, "shown": self.data.labels[SHOWS][chosen].float()}

    def loss(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        assert isinstance(module, ObjectJudge)
        images = batch["image"].contiguous(memory_format=torch.channels_last)
        logits = module.logits(images).float()
        each = F.binary_cross_entropy_with_logits(logits, batch["shown"], reduction="none")
        right = ((logits > 0) == (batch["shown"] > 0)).all(1)
        return {"loss": each.sum(1).mean(), "exact": right.float().mean()}

    def rate(self, progress: float) -> float:
        return warmup_then_linear(progress, warmup=0.1)


def train(settings: SceneJudgeSettings) -> RunFolder:
    """Trains a judge into a new run folder and tells how well it reads pictures held out."""
    _check(settings)
    data = _load(settings)
    parts = _parted(data, scenes_of(settings.data))
    config = {
        "asked": {**asdict(settings), "data": str(settings.data), "run": str(settings.run)},
        "model": {"network": settings.network, "side": settings.size, "objects": _names(data)},
        "data": facts_of(data),
    }
    run = RunFolder.create_once(settings.run, RECIPE, config)
    console.print(
        f"training a judge of {len(_names(data))} objects on {len(data):,} pictures of "
        f"{settings.data} for {settings.budget} → {settings.run}"
    )
    _fit(run, settings, *parts)
    return run


def resume(run: RunFolder) -> None:
    """Goes on with an interrupted run."""
    asked = run.config["settings"]["asked"]
    settings = SceneJudgeSettings(**{**asked, "data": Path(asked["data"]), "run": run.path})
    data = _load(settings)
    check_same_images(run, data)
    _fit(run, settings, *_parted(data, scenes_of(settings.data)))


def _names(data: ImageSet) -> list[str]:
    return list(data.vocabulary[SHOWS])


def _load(settings: SceneJudgeSettings) -> ImageSet:
    return read_scenes(settings.data, settings.size).colour()


def _parted(data: ImageSet, scenes: list[list[str]]) -> tuple[ImageSet, ImageSet]:
    """(rest, held out): all pictures of the last tenth of the scenes, so that none grows across the cut."""
    count = round(HELD_OUT * len(scenes))
    if not count:
        raise UserError(
            f"pictures of {len(scenes)} scenes are too few to hold a tenth of them out; give ten or more."
        )
    held = {name for names in scenes[-count:] for name in names}
    last = torch.tensor([name in held for name in data.names])
    return data.take((~last).nonzero().flatten()), data.take(last.nonzero().flatten())


def _fit(run: RunFolder, settings: SceneJudgeSettings, rest: ImageSet, held: ImageSet) -> None:
    torch.manual_seed(derive(settings.seed, "weights"))
    judge = NETWORKS[settings.network](len(_names(rest)))
    loop = LoopSettings(settings.budget, ema=0.99, precision=settings.precision)
    with progress_bar("training") as bar:
        fit(
            Detection(judge, rest, settings.seed),
            run,
            loop,
            lambda share, at: bar(share, f"loss {at['loss']:.3f}  exact {at['exact']:.3f}"),
        )
    _tell(run, held)


def _tell(run: RunFolder, held: ImageSet) -> None:
    """Writes what the trained judge reads in pictures held out, and prints the most of it."""
    judge = load_object_judge(str(run.path))
    probabilities = judge.read(held, _names(held))
    scores = object_scores(probabilities, held.labels[SHOWS])
    answers = object_answers(probabilities, held.labels[SHOWS])
    figures = figures_of(scores) | with_interval("objects.agreement", answers.overall)
    for name, part in zip(_names(held), answers.each, strict=True):
        figures |= with_interval(f"objects.agreement.{name}", part)
    write_json(run.path / "summary.json", figures | judge.facts() | {"pictures": len(held)})
    right = answers.overall
    console.print(
        f"of {len(held):,} pictures held out: {100 * right.value:.2f} % ({100 * right.low:.2f} to "
        f"{100 * right.high:.2f}) of answers right, {100 * scores.found.value:.2f} % of objects found, "
        f"{100 * scores.exact.value:.2f} % of pictures exact → {run.path / 'summary.json'}"
    )


def _check(settings: SceneJudgeSettings) -> None:
    if settings.network not in NETWORKS:
        raise unknown_name("network", settings.network, NETWORKS)
    if settings.size < SMALLEST_SIDE:
        raise UserError(f"--size must be at least {SMALLEST_SIDE}, not {settings.size}.")
    _ = settings.budget  # raises for two budgets
