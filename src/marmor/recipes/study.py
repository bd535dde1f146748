"""What matters for drawing sets of objects (S3): `marmor study iclevr`.

One network is trained for each way to build it, all for the same time; every way to draw is then tried on
the first of them. What is compared starts from the same noises, so differences are taken draw by draw.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from marmor.base.conditions import ObjectSet
from marmor.base.errors import UserError
from marmor.base.files import read_json, write_json
from marmor.base.progress import console
from marmor.data import SHOWS, ImageSet, read_requests
from marmor.data.scenes import REQUESTS
from marmor.metrics import Mean, mean
from marmor.networks.checkpoints import load_into
from marmor.recipes import iclevr
from marmor.recipes.asking import ask_scenes, check_most
from marmor.recipes.conditions import kinds_of
from marmor.recipes.denoising import DiffusionGenerator
from marmor.recipes.diffusing import check_buildable
from marmor.recipes.models import load_diffusion
from marmor.recipes.object_judging import LoadedObjectJudge, needed_object_judge
from marmor.recipes.scene_scoring import scores_over
from marmor.recipes.tables import show_table
from marmor.recipes.training_images import check_same_images, facts_of
from marmor.recipes.wishes import UNCHANGED, Wishes
from marmor.training import RunFolder

RECIPE = "study-iclevr"
COLUMNS = (
    "question",
    "answer",
    "images trained",
    *(f"{name} {what}" for name in REQUESTS for what in ("found", "exact")),
    "found, against the first",
    "that is",
)


@dataclass(frozen=True)
class Variation:
    """One answer to a question: which network is trained, and how it is drawn."""

    question: str
    answer: str
    network: str = "uvit"
    wishes: Wishes = UNCHANGED
    averaged: bool = True

    @property
    def file(self) -> str:
        return f"{self.question} {self.answer}.json".replace(" ", "-").replace(",", "")


VARIATIONS = (
    Variation("embedding", "tokens attended to"),
    *(
        Variation("embedding", f"multi-hot, {depth} hidden layers", f"uvit-summed-{depth}")
        for depth in range(3)
    ),
    Variation("prediction", "preconditioned"),
    *(Variation("prediction", name, f"uvit-{name}") for name in ("velocity", "image", "noise")),
    Variation("average of weights", "with"),
    Variation("average of weights", "without", averaged=False),
    Variation("guidance", "4", wishes=Wishes(guidance=4.0)),
    *(
        Variation("guidance", str(scale), wishes=Wishes(guidance=float(scale)))
        for scale in (0, 1, 2, 3, 5, 6)
    ),
    Variation("steps", "12", wishes=Wishes(steps=12)),
    *(Variation("steps", str(count), wishes=Wishes(steps=count)) for count in (10, 25, 50, 100)),
)
"""The first answer to each question is what the others are compared with."""


@dataclass(frozen=True)
class StudySettings:
    """What `marmor study iclevr` can be told.

    Args:
        data: a folder in i-CLEVR's layout, with test.json and new_test.json.
        run: the folder of the study to write.
        minutes: of training of each network.
        steps: of training of each network, in place of minutes.
        seeds: how often each list is drawn, for the intervals.
        seed: of the trainings.
        size: side that pictures are squashed to.
        judge: reads the pictures; the shipped one when left out.
    """

    data: str
    run: Path = Path("runs/study-iclevr")
    minutes: float = 10.0
    steps: int | None = None
    seeds: int = 20
    seed: int = 0
    size: int = 64
    judge: str | None = None


@dataclass(frozen=True)
class Scores:
    """Shares of one variation, draw by draw, by list."""

    found: dict[str, list[float]]
    exact: dict[str, list[float]]


def study(settings: StudySettings) -> list[list[str]]:
    """Trains, draws and compares everything in a new folder; returns the table's rows."""
    if settings.seeds < 2:
        raise UserError(f"--seeds must be at least 2, for intervals, not {settings.seeds}.")
    parts = _parts(settings)
    for part in parts.values():
        iclevr.check(part)
    data = iclevr.load(parts["uvit"])
    for part in parts.values():
        check_buildable(part, data)
    _check_lists(settings, data)
    judge = needed_object_judge(settings.judge, data.vocabulary[SHOWS])
    config = {"asked": {**asdict(settings), "run": str(settings.run)}, "data": facts_of(data)}
    return _go_on(RunFolder.create_once(settings.run, RECIPE, config), settings, judge)


def _check_lists(settings: StudySettings, data: ImageSet) -> None:
    """UserError for a list that is missing, cannot be read, or asks for more than pictures show."""
    [kind] = kinds_of(data).values()
    assert isinstance(kind, ObjectSet)
    for name in REQUESTS:
        path = Path(settings.data) / f"{name}.json"
        for number, request in enumerate(read_requests(path, data.vocabulary[SHOWS])):
            check_most(
                request, kind.most, f"{path}: picture {number}", f"a model of {settings.data}"
            )


def resume(run: RunFolder) -> None:
    """Goes on with an interrupted study."""
    settings = StudySettings(**{**run.config["settings"]["asked"], "run": run.path})
    data = iclevr.load(_parts(settings)["uvit"])
    check_same_images(run, data)
    _go_on(run, settings, needed_object_judge(settings.judge, data.vocabulary[SHOWS]))


def _parts(settings: StudySettings) -> dict[str, iclevr.ScenesSettings]:
    """How each network is trained, by its name."""
    common = iclevr.ScenesSettings(
        data=settings.data,
        minutes=settings.minutes if settings.steps is None else None,
        steps=settings.steps,
        seed=settings.seed,
        size=settings.size,
        judge=settings.judge,
    )
    names = dict.fromkeys(variation.network for variation in VARIATIONS)
    return {
        name: replace(common, network=name, run=settings.run / "parts" / name) for name in names
    }


def _go_on(run: RunFolder, settings: StudySettings, judge: LoadedObjectJudge) -> list[list[str]]:
    for part in _parts(settings).values():
        if (part.run / "config.json").is_file():
            iclevr.resume(RunFolder.open(part.run, iclevr.RECIPE))
        else:
            iclevr.train(part)
    found = {v: _kept_or_scored(run, settings, judge, v) for v in VARIATIONS}
    rows = [_row(variation, found, _trained(run, variation)) for variation in VARIATIONS]
    show_table(COLUMNS, rows, run.path, _caption(judge))
    figures = {v.file.removesuffix(".json"): asdict(scores) for v, scores in found.items()}
    write_json(run.path / "summary.json", figures | judge.facts())
    console.print(f"the study: {run.path / 'table.txt'}")
    return rows


def _kept_or_scored(
    run: RunFolder, settings: StudySettings, judge: LoadedObjectJudge, variation: Variation
) -> Scores:
    kept = run.path / "scores" / variation.file
    if kept.is_file():
        return Scores(**read_json(kept))
    console.print(f"{variation.question}: {variation.answer}")
    generator = _generator(run.path / "parts" / variation.network, variation)
    names = generator.vocabulary[SHOWS]
    scores = Scores({}, {})
    for name in REQUESTS:
        asks = ask_scenes(generator, read_requests(Path(settings.data) / f"{name}.json", names))
        drawn = scores_over(generator, asks, judge, range(settings.seeds))
        scores.found[name] = [each.found.value for each in drawn]
        scores.exact[name] = [each.exact.value for each in drawn]
    write_json(kept, asdict(scores))
    return scores


def _generator(path: Path, variation: Variation) -> DiffusionGenerator:
    generator = load_diffusion(str(path))
    if not variation.averaged:
        last = RunFolder.open(path, iclevr.RECIPE).checkpoints.load()
        assert last is not None
        load_into(generator.denoiser, last.model, str(path))
    return generator.wished(variation.wishes)


def _trained(run: RunFolder, variation: Variation) -> int:
    """Images that its network was trained on: as many minutes are not as many images."""
    return RunFolder(run.path / "parts" / variation.network).history()[-1]["images"]


def _row(variation: Variation, found: dict[Variation, Scores], images: int) -> list[str]:
    first = next(other for other in VARIATIONS if other.question == variation.question)
    scores = found[variation]
    cells = [f"{images:,}"] + [
        _interval(mean(values))
        for name in REQUESTS
        for values in (scores.found[name], scores.exact[name])
    ]
    if first is variation:
        return [variation.question, variation.answer, *cells, "", "the first"]
    apart = mean(_differences(scores, found[first]), among=_comparisons())
    verdict = "better" if apart.low > 0 else "worse" if apart.high < 0 else "not told apart"
    return [variation.question, variation.answer, *cells, _interval(apart, "+"), verdict]


def _comparisons() -> int:
    """How many answers are compared with the first to their question."""
    return len(VARIATIONS) - len({variation.question for variation in VARIATIONS})


def _caption(judge: LoadedObjectJudge) -> str:
    count = _comparisons()
    return (
        f"Read by {judge.title}. Means with 95 % intervals over the seeds of the noise; each row draws "
        "from one trained network, so the intervals do not say how much another training would differ. "
        f"Differences to the first answer have wider intervals, all {count} of which hold together with 95 % "
        "(Bonferroni)."
    )


def _differences(one: Scores, other: Scores) -> list[float]:
    """Draw by draw, the mean over the lists of how much more is found."""
    by_list = [
        [a - b for a, b in zip(one.found[name], other.found[name], strict=True)]
        for name in REQUESTS
    ]
    return [sum(draws) / len(REQUESTS) for draws in zip(*by_list, strict=True)]


def _interval(found: Mean, sign: str = "") -> str:
    return f"{found.value:{sign}.3f} ({found.low:{sign}.3f} to {found.high:{sign}.3f})"
