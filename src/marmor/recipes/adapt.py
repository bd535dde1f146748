"""From two sets of images to a classifier for the second (S5): `marmor adapt`."""

import math
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from marmor.adaptation import Candidate
from marmor.base.errors import UserError, unknown_name
from marmor.base.files import read_json, write_json
from marmor.base.progress import console
from marmor.data import ImageSet
from marmor.metrics import agreement
from marmor.networks.judges import Judge
from marmor.recipes import adapting
from marmor.recipes.adapt_results import Result, best_of, in_order
from marmor.recipes.folders import WEIGHTS_FILE
from marmor.recipes.pairs import Pair, load_pair
from marmor.recipes.plans import BEST, PLANS, RUNGS, SOURCE_ONLY, TARGET_ONLY, Plan
from marmor.training import Precision, RunFolder, save_weights
from marmor.training.processes import first_alone

RECIPE = "adapt"
PART = "adapt-part"
"""The recipe of the run folders inside the run: one method with one seed each."""
RESULT = "result.json"


@dataclass(frozen=True)
class AdaptSettings:
    """What `marmor adapt` can be told.

    Args:
        source: labelled images, an embedded name or a path.
        target: images whose labels, if there are any, only the table reads.
        method: best, or one of source-augmented, dann, dann-augmented, cdan, coral, mmd, mean-teacher,
            adamatch, adamatch-refined, adamatch-quotas (classes as frequent as in the source),
            quotas-refined, infomax, shot; several with commas, the first the run's own; all for every one.
        run: the run folder to write.
        seeds: how often everything is trained, for the intervals.
        seed: the first of them.
        epochs: passes over the larger of the two sets; each method's own choice when left out. What goes on
            from another method's network keeps its own.
        size: side to crop and resize images to; the source's own when left out.
        precision: auto is bf16 where the processor has it.
    """

    source: str
    target: str
    method: str = "best"
    run: Path = Path("runs/adapt")
    seeds: int = 3
    seed: int = 0
    epochs: float | None = None
    size: int | None = None
    precision: Precision = "auto"


@dataclass(frozen=True)
class Study:
    """A finished run: its pair, and every method's results in order."""

    run: RunFolder
    settings: AdaptSettings
    pair: Pair
    results: list[Result]

    def of(self, method: str) -> list[Result]:
        return [result for result in self.results if result.method == method]

    def asked_for(self) -> list[Result]:
        """Without what was only trained for another method to go on from, or for `best` to try."""
        wanted = (SOURCE_ONLY, *asked(self.settings.method), TARGET_ONLY)
        return [result for result in self.results if result.method in wanted]

    def adapted(self) -> str:
        """The method that the run's own network comes from."""
        return BEST if self.settings.method == "all" else asked(self.settings.method)[0]

    def kept(self) -> Result:
        """Whose network is the run's own.

        The seed with the most information, of those without doubts. Information says nothing between plans:
        of `best`, seeds count that end on the same rung as most others.
        """
        own = self.of(self.adapted())
        seeds = Counter(one.network for one in own)
        rungs = [*RUNGS, *(one.network for one in own)]
        plan = max(seeds, key=lambda name: (seeds[name], -rungs.index(name)))
        alike = [one for one in own if one.network == plan]
        return max(alike, key=lambda one: (not one.doubts, one.information))

    def network(self, method: str, seed: int) -> Judge:
        """What a method with a seed ends with, ready to read the target."""
        [result] = [one for one in self.of(method) if one.seed == seed]
        return chosen_of(self.run, self.pair, result.network, seed).classifier


def adapt(settings: AdaptSettings) -> Study:
    """Trains everything into a new run folder; Ctrl-C saves, `marmor resume` goes on."""
    _check(settings)
    pair = load_pair(settings.source, settings.target, settings.size, settings.seed)
    facts = {
        "fingerprints": _fingerprints(pair),
        "source": len(pair.source),
        "target": len(pair.target),
        "notes": list(pair.notes),
        "class_names": list(pair.class_names),
        "side": pair.source.size[0],
        "channels": pair.source.channels,
    }
    wishes = {**asdict(settings), "run": str(settings.run)}
    run = RunFolder.create_once(settings.run, RECIPE, {"asked": wishes, "data": facts})
    return _go_on(run, settings, pair)


def resume(run: RunFolder) -> Study:
    """Goes on with an interrupted run."""
    settings = _settings_of(run)
    pair = load_pair(settings.source, settings.target, settings.size, settings.seed)
    began = run.config["settings"]["data"]["fingerprints"]
    changed = [name for name, found in _fingerprints(pair).items() if found != began.get(name)]
    if changed:
        raise UserError(
            f"the images of {', '.join(changed)} changed since {run.path} began (another "
            "fingerprint); a run can only go on with the images it started with."
        )
    return _go_on(run, settings, pair)


def methods() -> list[str]:
    """What adapts; the two plans that bound them are always trained."""
    return [*(name for name in PLANS if name not in (SOURCE_ONLY, TARGET_ONLY)), BEST]


def asked(words: str) -> list[str]:
    """``--method`` as names of methods; UserError for one that is unknown."""
    if words == "all":
        return methods()
    names = [name.strip() for name in words.split(",")]
    if len(names) > 1 and "all" in names:
        raise UserError("--method all stands for every method; name it alone.")
    for name in names:
        if name not in methods():
            raise unknown_name("method", name, ("all", *methods()))
    return list(dict.fromkeys(names))


def _with_start(name: str) -> list[str]:
    """A plan after the one that it starts from."""
    start = PLANS[name].start
    return [name] if start is None else [start, name]


def _go_on(run: RunFolder, settings: AdaptSettings, pair: Pair) -> Study:
    for note in pair.notes:
        console.print(f"note: {note}")
    results: list[Result] = []
    for seed in range(settings.seed, settings.seed + settings.seeds):
        results += _of_seed(run, settings, pair, seed)
    study = Study(run, settings, pair, results)
    kept = study.kept()
    network = study.network(kept.method, kept.seed)
    save_weights(network.state_dict(), run.path / WEIGHTS_FILE)
    return study


def _of_seed(run: RunFolder, settings: AdaptSettings, pair: Pair, seed: int) -> list[Result]:
    """Every method of the run with one seed, in the order of tables."""
    found: dict[str, Result] = {}

    def ensure(name: str) -> None:
        for plan in _with_start(name):
            if plan not in found:
                found[plan] = _kept_or_trained(run, settings, pair, plan, seed)
                _tell(found[plan])

    ensure(SOURCE_ONLY)
    for name in asked(settings.method):
        if name != BEST:
            ensure(name)
            continue
        rungs = iter(RUNGS)
        while (best := best_of(list(found.values()))) is None:
            ensure(next(rungs))
        found[BEST] = best
        console.print(f"  best, seed {seed}, is {best.kept}.")
    if pair.truth.train is not None and pair.truth.val is not None:
        ensure(TARGET_ONLY)
    return in_order([*found.values()])


def _kept_or_trained(
    run: RunFolder, settings: AdaptSettings, pair: Pair, name: str, seed: int
) -> Result:
    """The result of an earlier call, or of training that goes on where it stands."""
    part = part_of(run, name, seed)
    kept = part.path / RESULT
    if kept.is_file():
        return Result(**read_json(kept))
    with first_alone() as first:
        if first and not (part.path / "config.json").is_file():
            RunFolder.create(part.path, PART, {"method": name, "seed": seed})
    result = _trained(run, settings, pair, name, seed)
    write_json(kept, asdict(result))
    return result


def _trained(run: RunFolder, settings: AdaptSettings, pair: Pair, name: str, seed: int) -> Result:
    """Trains, or goes on training, in the part's own folder."""
    part, plan = part_of(run, name, seed), PLANS[name]
    compared = _compared_with(name)
    before = None if compared is None else chosen_of(run, pair, compared, seed)
    start, earlier, inherited = None, 0.0, list[str]()
    if plan.start is not None and before is not None:
        start = before.classifier
        begun = Result(**read_json(part_of(run, plan.start, seed).path / RESULT))
        earlier, inherited = begun.minutes, [f"{plan.start}: {doubt}" for doubt in begun.doubts]
    console.print(f"{name}, seed {seed}:")
    given_up = adapting.train(
        part,
        _target_as_source(pair) if name == TARGET_ONLY else pair,
        plan,
        _steps(settings, pair, plan),
        seed,
        start,
        before and adapting.unadapted(before, pair),
        settings.precision,
    )
    chosen = chosen_of(run, pair, name, seed)
    last = part.history()[-1]
    stays = not (plan.keeps_shares and before and adapting.drifted(part, before.candidate))
    return Result(
        method=name,
        seed=seed,
        minutes=earlier + last["seconds"] / 60,
        images_per_second=last["images"] / last["seconds"],
        information=chosen.candidate.information,
        source_accuracy=chosen.candidate.source_accuracy,
        retreats=chosen.retreats,
        stays=stays,
        doubts=[*inherited, *given_up, *chosen.doubts, *([] if stays else [adapting.DRIFTED])],
        **_measured(part, pair, chosen.classifier),
    )


def _steps(settings: AdaptSettings, pair: Pair, plan: Plan) -> int:
    """The passes that were asked for, or the plan's own epochs."""
    if settings.epochs is None or plan.start is not None:
        return adapting.steps_of(pair, plan.epochs, adapting.SMALLEST_EPOCH)
    return adapting.steps_of(pair, settings.epochs, 0)


def part_of(run: RunFolder, name: str, seed: int) -> RunFolder:
    """The run of one method with one seed, inside the run."""
    return RunFolder(run.path / "parts" / f"{name}-seed-{seed}")


def whole_of(part: Path) -> Path:
    """The run that a part lies in."""
    return part.resolve().parent.parent


def results_in(run: RunFolder) -> list[Result]:
    """What the finished parts of a run came to, in the order of tables."""
    settings = _settings_of(run)
    results: list[Result] = []
    for seed in range(settings.seed, settings.seed + settings.seeds):
        kept = [part_of(run, name, seed).path / RESULT for name in PLANS]
        found = [Result(**read_json(path)) for path in kept if path.is_file()]
        best = best_of(found) if BEST in asked(settings.method) else None
        results += in_order([*found, *([best] if best else [])])
    return results


def chosen_of(run: RunFolder, pair: Pair, plan: str, seed: int) -> adapting.Chosen:
    """What a finished part keeps."""
    before = _unadapted(run, pair, plan, seed)
    return adapting.chosen(part_of(run, plan, seed), pair, before)


def _compared_with(name: str) -> str | None:
    """The plan whose network a method's is without it: its start, or source-only; None for the two bounds."""
    if name in (SOURCE_ONLY, TARGET_ONLY):
        return None
    return PLANS[name].start or SOURCE_ONLY


def _unadapted(run: RunFolder, pair: Pair, name: str, seed: int) -> Candidate | None:
    """The candidate that a method is compared with."""
    start = _compared_with(name)
    if start is None:
        return None
    best, _ = adapting.choice(part_of(run, start, seed), pair, _unadapted(run, pair, start, seed))
    return best


def _target_as_source(pair: Pair) -> Pair:
    """The pair of the upper bound: the target with its labels takes the source's place."""
    train, held = pair.truth.train, pair.labelled_val()
    assert train is not None
    assert held is not None
    return replace(pair, source=train, source_val=held)


def _measured(part: RunFolder, pair: Pair, classifier: Judge) -> dict[str, Any]:
    """Accuracies by the target's labels: of the choice, and of the choice that they would have made."""
    test, val = pair.truth.test, pair.truth.val
    if test is None:
        return {}

    def right(judge: Judge, images: ImageSet, labels: Tensor) -> float:
        read = adapting.read(judge, images)[1].argmax(1)
        return agreement(labels, read, judge.classes).overall.value

    def tested(judge: Judge) -> float:
        return right(judge, test, test.labels["class"])

    figures: dict[str, Any] = {"accuracy": tested(classifier), "test_images": len(test)}
    if val is None:
        return figures
    candidates = [classifier, *adapting.candidates_of(part, pair)]
    scores = [right(judge, pair.target_val, val) for judge in candidates]
    best = max(range(len(scores)), key=lambda number: (scores[number], number))
    return figures | {"oracle": tested(candidates[best]), "oracle_score": scores[best]}


def _tell(result: Result) -> None:
    read = (
        f"target test {100 * result.accuracy:.1f} %"
        if result.accuracy is not None
        else f"information {result.information:.2f}"
    )
    back = f", sent back {len(result.retreats)} times" if result.retreats else ""
    console.print(
        f"  {read}, {result.minutes:.1f} minutes, {result.images_per_second:.0f} images a second{back}"
    )


def _fingerprints(pair: Pair) -> dict[str, str]:
    names = ("source", "source_val", "target", "target_val")
    return {name: getattr(pair, name).fingerprint() for name in names}


def _settings_of(run: RunFolder) -> AdaptSettings:
    """What a run was begun with, wherever it lies now."""
    return AdaptSettings(**{**run.config["settings"]["asked"], "run": run.path})


def _check(settings: AdaptSettings) -> None:
    asked(settings.method)
    if settings.seeds < 1:
        raise UserError(f"--seeds must be at least 1, not {settings.seeds}.")
    if settings.epochs is not None and not 0 < settings.epochs < math.inf:
        raise UserError(f"--epochs must be a finite number above 0, not {settings.epochs}.")
