"""Training of one method on one pair, and the choice among its checkpoints without target labels."""

import copy
import math
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from marmor.adaptation import (
    Candidate,
    CollapseGuard,
    Signs,
    agreement_where_surest,
    balance,
    choose,
    shared_information,
    sound,
    source_accuracy,
)
from marmor.adaptation.methods import Classifier, Seen
from marmor.base.pixels import to_bytes, to_unit
from marmor.base.progress import console, progress_bar
from marmor.base.seeds import derive, torch_stream
from marmor.data import ImageSet, epoch_order
from marmor.data.augment import augment
from marmor.networks.judges import DigitJudge, Judge
from marmor.recipes.pairs import Pair
from marmor.recipes.plans import Plan
from marmor.training import (
    Batch,
    Budget,
    DivergenceError,
    LoopSettings,
    Precision,
    RunFolder,
    Turn,
    fit,
    load_weights,
    save_weights,
)

BATCH = 128
EMA = 0.99
"""Of the weights a step. The average is what is read, also where a method is published without: no step
follows from it there."""
SMALLEST_EPOCH = 20_000
"""Images, where both sets are smaller: methods need steps, however few images there are."""
MILESTONES = 20
LOOKED_AT = 2000
"""The most images of a set that BatchNorm's statistics are taken from, and that a milestone reads."""
READ_BATCH = 500
CANDIDATES = "candidates"
CANDIDATE_FIGURES = ("information", "balance", "source.accuracy", "agreement")
"""What a milestone's log line says of its candidate, as ``Candidate`` takes them."""
UNSOUND = (
    "every checkpoint leans to few classes, no longer reads the source or has exchanged classes; the one "
    "that does so least was taken."
)
DRIFT = 0.005
"""Nats of balance: a network that is refined loses less where it is mended, and more where a class of the
target grows at the cost of another (docs/adaptation.md has the runs)."""
DRIFTED = (
    "going on made answers lean to fewer classes, as where one class swallows another; what it went on from "
    "may read better."
)
GENTLER = 0.3
"""The factor on all but the labelled loss each time the guard has sent a run back."""


class Learner(nn.Module):
    """A classifier and, where the method has one, the opponent that learns beside it."""

    def __init__(self, classifier: Judge, opponent: nn.Module | None) -> None:
        super().__init__()
        self.classifier = classifier
        self.opponent = opponent


class Adaptation:
    """The loop's method: batches of both domains, the plan's loss over them."""

    def __init__(self, learner: Learner, pair: Pair, plan: Plan, steps: int, seed: int) -> None:
        self.module = learner
        self.pair, self.plan, self.steps, self.seed = pair, plan, steps, seed
        self.batch_size = BATCH
        self.dataset_size = len(pair.source)
        self.turn = Turn(self.loss, plan.optimizers(learner))
        self.teacher: Classifier = learner.classifier
        self.strength = 1.0

    def begin(self, average: nn.Module, retreats: int) -> None:
        """The average teaches, normalised by its batch; each retreat makes the rest count less."""
        assert isinstance(average, Learner)
        self.teacher = _by_batch(average.classifier)
        self.strength = GENTLER**retreats

    def turns(self, step: int) -> list[Turn]:
        return [self.turn]

    def draw(self, step: int, turn: int = 0) -> Batch:
        source = epoch_order(step, BATCH, len(self.pair.source), derive(self.seed, "source"))
        target = epoch_order(step, BATCH, len(self.pair.target), derive(self.seed, "target"))
        shown, hidden = self.pair.source.images[source], self.pair.target.images[target]
        streams = [torch_stream(self.seed, view, step) for view in ("source", "target", "strong")]
        views, unlabelled = self.plan.views, to_unit(hidden)
        drawn = {
            "source": views.source(to_unit(shown), streams[0]),
            "labels": self.pair.source.labels["class"][source],
            "target": views.target(unlabelled, streams[1]),
            "strong": views.strong(unlabelled, streams[2]),
            "progress": torch.full((BATCH,), min(1.0, step / self.steps)),
        }
        return drawn | self._kept(step)

    def _kept(self, step: int) -> Batch:
        """What dropout leaves; part of the batch, so that a resume and every process see the same."""
        if not self.plan.dropout:
            return {}
        shape = (BATCH, self.module.classifier.feature_size)
        left = 1 - self.plan.dropout
        chance = torch.rand(shape, generator=torch_stream(self.seed, "dropout", step))
        return {"kept": (chance < left) / left}

    def loss(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        assert isinstance(module, Learner)
        views = {
            name: batch[name].contiguous(memory_format=torch.channels_last)
            for name in ("source", "target", "strong")
        }
        progress = batch["progress"][0].item()
        seen = Seen(
            **views,
            labels=batch["labels"],
            progress=progress,
            strength=self.strength,
            kept=batch.get("kept"),
        )
        return self.plan.method.update(module.classifier, module.opponent, self.teacher, seen)

    def rate(self, progress: float) -> float:
        rate = self.plan.rate(progress)
        # Of a loss that counts less as a whole, Adam makes the same steps.
        return rate * self.strength if self.plan.method.source_free else rate


@dataclass(frozen=True)
class Chosen:
    """The network that a run ends with, and how it was chosen."""

    classifier: Judge
    """Its BatchNorm statistics are the target's."""
    candidate: Candidate
    retreats: list[dict[str, Any]]
    doubts: tuple[str, ...]
    """Why it may not be trusted."""


@dataclass(frozen=True)
class Unadapted:
    """What a method is compared with: the network without it."""

    candidate: Candidate
    logits: Tensor
    """(N, K), of the held-out target images that milestones read."""


def unadapted(start: Chosen, pair: Pair) -> Unadapted:
    """What ``start`` says of the target."""
    _, logits = read(start.classifier, evenly(pair.target_val))
    return Unadapted(start.candidate, logits)


def steps_of(pair: Pair, epochs: float, least: int) -> int:
    """Steps of so many epochs: passes over the larger of the two sets, or over ``least`` images."""
    return max(1, round(epochs * max(len(pair.source), len(pair.target), least) / BATCH))


def train(
    run: RunFolder,
    pair: Pair,
    plan: Plan,
    steps: int,
    seed: int,
    start: Judge | None,
    before: Unadapted | None,
    precision: Precision,
) -> tuple[str, ...]:
    """Trains for ``steps``, from the run's newest checkpoint where it has one; says why where it gave up.

    ``before``: what the guard and the choice compare with; None where there is nothing to guard. A run
    that diverges, or that the guard gives up, ends with the best of what it had.
    """
    torch.manual_seed(derive(seed, "weights"))
    classifier = DigitJudge(len(pair.class_names), pair.source.channels)
    if start is not None:
        classifier.load_state_dict(start.state_dict())
    opponent = plan.method.opponent(classifier.feature_size, classifier.classes)
    learner = Learner(classifier, opponent)
    method = Adaptation(learner, pair, plan, steps, seed)
    loop = LoopSettings(
        Budget(steps=steps),
        ema=EMA,
        precision=precision,
        clip_norm=plan.clip_norm,
        milestones=MILESTONES,
    )

    def probe(module: nn.Module) -> dict[str, float]:
        assert isinstance(module, Learner)
        return _probed(run, copy.deepcopy(module.classifier).cpu(), pair, before)

    def guard(unadapted: Candidate, record: dict[str, Any]) -> str | None:
        compared = CollapseGuard(unadapted.balance, unadapted.source_accuracy)
        signs = Signs(
            record["step"] / steps,
            record["balance"],
            record["source.accuracy"],
            record.get("domain_accuracy"),
            record["agreement"],
        )
        wrong = compared.verdict(signs, max(line["source.accuracy"] for line in scored(run)))
        if wrong is not None:
            console.print(f"  step {record['step']}: {wrong}; the guard sends the run back.")
        return wrong

    try:
        with progress_bar("training") as bar:
            fit(
                method,
                run,
                loop,
                lambda share, at: bar(share, f"loss {at['loss']:.3f}"),
                probe,
                partial(guard, before.candidate) if plan.guarded and before else None,
                method.begin,
            )
    except DivergenceError as error:
        if not scored(run):
            raise
        console.print(f"note: {error} The best checkpoint before it is kept.")
        return (str(error),)
    return ()


def choice(run: RunFolder, pair: Pair, unadapted: Candidate | None) -> tuple[Candidate, bool]:
    """Which candidate a finished run keeps, and whether it is sound."""
    candidates = [
        Candidate(number, *(line[name] for name in CANDIDATE_FIGURES))
        for number, line in enumerate(scored(run))
    ]
    without = (
        (unadapted.balance, unadapted.source_accuracy)
        if unadapted
        else (math.log(len(pair.class_names)), 0.0)
    )
    best = choose(candidates, *without)
    return best, best in sound(candidates, *without)


def chosen(run: RunFolder, pair: Pair, unadapted: Candidate | None) -> Chosen:
    """What a finished run keeps, ready to read the target."""
    best, is_sound = choice(run, pair, unadapted)
    last = run.checkpoints.load()
    retreats = last.position["retreats"] if last else []
    doubts = () if is_sound else (UNSOUND,)
    return Chosen(_candidate(run, pair, best.number), best, retreats, doubts)


def drifted(run: RunFolder, start: Candidate) -> bool:
    """Whether the answers of a finished run lean to fewer classes than those that it went on from."""
    return scored(run)[-1]["balance"] < start.balance - DRIFT


def scored(run: RunFolder) -> list[dict[str, Any]]:
    """The log lines of milestones, as many as there are candidates."""
    return [line for line in run.history() if "information" in line]


def candidates_of(run: RunFolder, pair: Pair) -> list[Judge]:
    """Every candidate of a finished run, ready to read the target, from the earliest on."""
    return [_candidate(run, pair, number) for number in range(len(scored(run)))]


def _candidate(run: RunFolder, pair: Pair, number: int) -> Judge:
    classifier = DigitJudge(len(pair.class_names), pair.source.channels)
    classifier.load_state_dict(load_weights(_candidate_file(run, number)))
    return with_statistics_of(classifier, pair.target)


@torch.inference_mode()
def with_statistics_of(classifier: Judge, images: ImageSet) -> Judge:
    """A copy, ready to read, whose BatchNorm statistics are those of images like these (AdaBN).

    Li et al. 2016: statistics are the domain's own, weights are shared. Networks without BatchNorm
    are copied as they are.
    """
    ready = copy.deepcopy(classifier)
    layers = [m for m in ready.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over the batches
    ready.train()
    some = evenly(images)
    parts = -(-len(some) // READ_BATCH)  # of nearly one size, since each counts alike
    for part in some.images.tensor_split(parts):
        ready.features(to_unit(part))
    return ready.eval()


@torch.inference_mode()
def read(classifier: Judge, images: ImageSet) -> tuple[Tensor, Tensor]:
    """Features (N, D) and logits (N, K)."""
    features = torch.cat(
        [classifier.features(to_unit(part)) for part in images.images.split(READ_BATCH)]
    )
    return features, classifier.logits(features)


def _probed(
    run: RunFolder, classifier: Judge, pair: Pair, before: Unadapted | None
) -> dict[str, float]:
    """Keeps a candidate and scores it; target labels are not at hand here."""
    save_weights(classifier.state_dict(), _candidate_file(run, len(scored(run))))
    shown, hidden = evenly(pair.source_val), evenly(pair.target_val)
    _, of_source = read(with_statistics_of(classifier, pair.source), shown)
    target_reader = with_statistics_of(classifier, pair.target)
    _, of_target = read(target_reader, hidden)
    _, of_moved = read(target_reader, _moved(hidden))
    return {
        "source.accuracy": source_accuracy(of_source, shown.labels["class"]),
        "information": shared_information(of_target, of_moved),
        "balance": balance(of_target),
        "agreement": agreement_where_surest(of_target, before.logits) if before else 1.0,
    }


def evenly(images: ImageSet, most: int = LOOKED_AT) -> ImageSet:
    """At most ``most`` images, evenly from all of them."""
    count = min(len(images), most)
    return images.take(torch.arange(count) * len(images) // count)


def _moved(images: ImageSet) -> ImageSet:
    """Copies mildly moved and relit, at every milestone and in every run the same."""
    moved = augment(to_unit(images.images), torch_stream(0, "moved"))
    return replace(images, images=to_bytes(moved))


def _candidate_file(run: RunFolder, number: int) -> Path:
    return run.path / CANDIDATES / f"{number:02d}.safetensors"


def _by_batch(classifier: Judge) -> Judge:
    """The network itself, its BatchNorm in the mode that normalises by the batch at hand."""
    for layer in classifier.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.train()
    return classifier
