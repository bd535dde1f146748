"""Training of GANs, on faces or any other images (S6): `marmor train gan-faces`."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from marmor.adversarial import Referee, Signs, spread
from marmor.base.errors import UserError, unknown_name
from marmor.base.pixels import to_bytes, to_unit
from marmor.base.progress import Bar, console, progress_bar
from marmor.base.seeds import derive, torch_stream
from marmor.data import CLASS, ImageSet
from marmor.figures import grid, save_png
from marmor.networks.dcgan import doublings_of
from marmor.networks.summary import format_summary, summarise
from marmor.recipes.conditions import told, understood
from marmor.recipes.contest import Contest, Players
from marmor.recipes.gan_designs import GANS
from marmor.recipes.latents import LatentGenerator
from marmor.recipes.training_images import (
    check_same_images,
    facts_of,
    load_images,
    load_unlabelled,
)
from marmor.training import (
    Budget,
    LoopSettings,
    Precision,
    Probe,
    RunFolder,
    Watch,
    fit,
)

RECIPE = "gan-faces"
USUAL_MINUTES = 30.0
MILESTONES = 8
LOG_TURNS = 20
"""Turns of the critic between two lines of the log, where it has its usual number of them."""
WATCHED = 64
"""Fixed latents whose images tell the diversity at milestones, and real images to compare with."""
SHOWN = 8
"""Of them, kept as a picture of each milestone."""
DIVERSITY = "diversity"


@dataclass(frozen=True)
class GanSettings:
    """What `marmor train gan-faces` can be told.

    Args:
        data: an embedded name or a path: a folder, .npz, .zip, class folders, course layout.
        run: the run folder to write.
        objective: r3gan (relativistic, with penalties and augmentation; the default), dcgan, wgan (clipped
            weights) or wgan-gp.
        minutes: budget in minutes of training, 30 when nothing is said; one of minutes, steps, images.
        steps: budget in steps of the generator.
        images: budget in images that the generator has drawn for its own steps.
        seed: everything random follows from it.
        batch: images a turn; the objective's own choice when left out.
        size: side to crop and resize images to, 8, 16, 32, 64 …
        mirror: whether half of the images are mirrored left to right, not for things with writing on them;
            auto is on for r3gan alone, since the others were published without.
        classes: draw the classes that the images are labelled with, on request.
        precision: auto is bf16 where the processor has it.
    """

    data: str = "faces"
    run: Path = Path("runs/gan-faces")
    objective: str = "r3gan"
    minutes: float | None = None
    steps: int | None = None
    images: int | None = None
    seed: int = 0
    batch: int | None = None
    size: int = 64
    mirror: Literal["auto", "on", "off"] = "auto"
    classes: bool = False
    precision: Precision = "auto"

    @property
    def budget(self) -> Budget:
        return Budget.asked(
            USUAL_MINUTES, steps=self.steps, images=self.images, minutes=self.minutes
        )


def train(settings: GanSettings) -> RunFolder:
    """Trains a pair into a new run folder; Ctrl-C saves, `marmor resume` goes on.

    Raises UserError for wishes that cannot be and images that cannot be read, before anything is written.
    """
    _check(settings)
    data = _load(settings)
    contest = _contest(settings, data)
    for note in data.notes:
        console.print(f"note: {note}")
    run = RunFolder.create_once(settings.run, RECIPE, _config(settings, data))
    for title, text in summaries(contest.module).items():
        console.print(f"{title}\n{text}\n")
    console.print(
        f"training {settings.objective} on {len(data):,} images of {settings.data} for "
        f"{settings.budget} → {settings.run}"
    )
    _fit(run, settings, data, contest)
    return run


def resume(run: RunFolder) -> None:
    """Goes on with an interrupted run to the end of its budget."""
    settings = GanSettings(**{**run.config["settings"]["asked"], "run": run.path})
    data = _load(settings)
    check_same_images(run, data)
    _fit(run, settings, data, _contest(settings, data))


def players_of(model: dict[str, Any]) -> Players:
    """The pair of a run, ``model`` as its config.json tells it, with fresh weights."""
    design, shape = GANS[model["network"]], tuple(model["image_shape"])
    _, vocabulary = understood(model["conditions"])
    classes = len(vocabulary.get(CLASS, ()))
    return Players(design.generator(shape, classes), design.critic(shape, classes))


def summaries(players: Players) -> dict[str, str]:
    """The layers of both networks as tables of text, by title."""
    generator, critic = players.generator, players.critic
    classes = torch.zeros(1, dtype=torch.int64) if generator.label is not None else None
    latent = torch.zeros(1, generator.latent)
    with torch.no_grad():
        image = generator(latent, classes)
    return {
        "generator": format_summary(summarise(generator, latent, classes)),
        "critic": format_summary(summarise(critic, image, classes)),
    }


def milestone_file(run: RunFolder, number: int) -> Path:
    """Where the images of a milestone are, counted from 0: one row, side by side."""
    return run.path / "milestones" / f"{number:02d}.png"


def milestones_of(run: RunFolder) -> list[dict[str, Any]]:
    """The log lines of milestones that were not undone, as many as there are pictures of them."""
    return [line for line in run.history() if DIVERSITY in line]


def _check(settings: GanSettings) -> None:
    """Raises UserError for what no data could make possible."""
    if settings.objective not in GANS:
        raise unknown_name("objective", settings.objective, GANS)
    if settings.batch is not None and settings.batch < 1:
        raise UserError(f"--batch must be at least 1, not {settings.batch}.")
    _ = settings.budget  # raises for two budgets
    try:
        doublings_of((3, settings.size, settings.size))
    except ValueError:
        raise UserError(f"--size must be 8, 16, 32, 64, 128 …, not {settings.size}.") from None


def _load(settings: GanSettings) -> ImageSet:
    if settings.classes:
        data = load_images(settings.data, settings.size)
    else:
        data = load_unlabelled(settings.data, settings.size).unlabelled()
    if len(data) < 2:
        raise UserError(f"{settings.data} holds one image; a GAN needs many, thousands at best.")
    return data


def _config(settings: GanSettings, data: ImageSet) -> dict[str, Any]:
    """What config.json keeps: the wishes, the model's shape, and which images it was."""
    asked = {**asdict(settings), "run": str(settings.run)}
    return {"asked": asked, "model": _model(settings, data), "data": facts_of(data)}


def _model(settings: GanSettings, data: ImageSet) -> dict[str, Any]:
    return {
        "network": settings.objective,
        "image_shape": list(data.images.shape[1:]),
        "conditions": told(data),
    }


def _contest(settings: GanSettings, data: ImageSet) -> Contest:
    torch.manual_seed(derive(settings.seed, "weights"))  # initial weights use the global stream
    players = players_of(_model(settings, data))
    design = GANS[settings.objective]
    if settings.mirror != "auto":
        design = replace(design, mirrored=settings.mirror == "on")
    return Contest(players, design, data, settings.batch or design.batch_size, settings.seed)


def _fit(run: RunFolder, settings: GanSettings, data: ImageSet, contest: Contest) -> None:
    """Trains to the end of the budget, from the run's last checkpoint where it has one."""
    design = contest.design
    loop = LoopSettings(
        settings.budget,
        ema=design.ema,
        precision=settings.precision,
        clip_norm=float("inf"),
        log_every=LOG_TURNS // design.turns.usual,
        milestones=MILESTONES,
    )
    course = Course(run, Referee(design.objective.idle), settings.budget, len(data))
    with progress_bar("training") as bar:
        fit(
            contest,
            run,
            loop,
            _watch(bar),
            _probe(run, data, settings.seed),
            course.guard,
            contest.begin,
            course.alarm,
        )


def _watch(bar: Bar) -> Watch:
    """Shows the losses beside the bar, and tells each time that the run has gone back."""

    def watch(share: float, at: dict[str, Any]) -> None:
        losses = f"critic {at['critic.loss']:.3f}  generator {at['generator.loss']:.3f}"
        bar(share, f"{losses}  step {at['step']:,}")
        if "retreat" in at:
            console.print(
                f"note: {at['retreat']}; the run went back to its last good milestone and on with smaller "
                "steps."
            )

    return watch


def _probe(run: RunFolder, data: ImageSet, seed: int) -> Probe:
    """Draws from the same latents at every milestone, keeps some of the images, tells their diversity."""
    shape = (data.channels, *data.size)
    order = torch.randperm(len(data), generator=torch_stream(seed, "watched"))[:WATCHED]
    real = data.take(order)
    usual = spread(to_unit(real.images))

    def probe(module: nn.Module) -> dict[str, float]:
        assert isinstance(module, Players)
        generator = LatentGenerator(module.generator, data.vocabulary, shape, "training")
        noise = torch.randn(
            len(real), *generator.noise_shape, generator=torch_stream(seed, "fixed")
        )
        said = (
            [{CLASS: label} for label in real.labels[CLASS]]
            if real.class_names
            else [{}] * len(real)
        )
        images = generator.finish(noise, said, [], "fp32").cpu()
        row = grid(to_bytes(images[:SHOWN]), SHOWN, scale=1, gap=0)
        save_png(row, milestone_file(run, len(milestones_of(run))))
        return {DIVERSITY: spread(images) / max(usual, 1e-6)}

    return probe


class Course:
    """Asks the referee about lines of the log, by the milestones before them."""

    def __init__(self, run: RunFolder, referee: Referee, budget: Budget, dataset: int) -> None:
        self.run, self.referee, self.budget, self.dataset = run, referee, budget, dataset
        self.milestones = milestones_of(run)

    def guard(self, record: dict[str, Any]) -> str | None:
        """What is wrong with a milestone."""
        at = record["step"], record["images"], record["seconds"]
        late = self.budget.progress(*at, self.dataset) >= 0.5
        self.milestones = milestones_of(self.run)  # read here alone: the log grows long
        before = [_signs(line) for line in self._before(record)]
        return self.referee.verdict(_signs(record), before, late)

    def alarm(self, record: dict[str, Any]) -> str | None:
        """Whether a loss explodes in any other line; there must be a milestone to compare it with."""
        before = [_losses(line) for line in self._before(record)]
        return self.referee.exploded(_losses(record), before) if before else None

    def _before(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        return [line for line in self.milestones if line["step"] < record["step"]]


def _losses(record: dict[str, Any]) -> tuple[float, float]:
    return record["critic.loss"], record["generator.loss"]


def _signs(record: dict[str, Any]) -> Signs:
    return Signs(
        record["critic.loss"],
        record["generator.loss"],
        record["critic.accuracy"],
        record[DIVERSITY],
    )
