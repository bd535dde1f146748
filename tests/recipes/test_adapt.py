"""Adaptation from command to table: what is read, what is chosen, what survives a kill."""

import copy
import csv
import html
import json
import math
import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from marmor.adaptation import Candidate, shared_information
from marmor.adaptation.methods import Method, SourceOnly
from marmor.adaptation.methods.base import labelled_loss
from marmor.base.pixels import to_bytes, to_unit
from marmor.base.seeds import torch_stream
from marmor.cli import main
from marmor.data import read
from marmor.data.augment import augment
from marmor.recipes import adapt, adapt_page, adapting, plans
from marmor.recipes.adapt import AdaptSettings
from marmor.recipes.adapt_results import NOTHING_STAYED, TAUGHT_SHARES, Result
from marmor.recipes.pairs import load_pair
from marmor.recipes.plans import Plan
from marmor.training import LoopSettings, load_weights


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Digits, their negatives as a target, the same with labels permuted, and without labels."""
    folder = tmp_path_factory.mktemp("pairs")
    digits = {split: read("optical-digits", split, 16) for split in ("train", "test")}
    arrays = {
        f"{split}_{name}": values
        for split, images in digits.items()
        for name, values in (
            ("images", images.images[:, 0].numpy()[:300]),
            ("labels", images.labels["class"].numpy()[:300]),
        )
    }
    np.savez(folder / "source.npz", **arrays)
    turned = {k: 255 - v if k.endswith("images") else v for k, v in arrays.items()}
    turned = {k: v[:210] if k.startswith("train") else v for k, v in turned.items()}
    np.savez(folder / "target.npz", **turned)
    mixed = {**turned, "train_labels": np.roll(turned["train_labels"], 1)}
    np.savez(folder / "mixed.npz", **mixed)
    bare = {name: values for name, values in turned.items() if name.endswith("images")}
    np.savez(folder / "bare.npz", **bare)
    return folder


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(adapting, "BATCH", 32)
    monkeypatch.setattr(adapting, "MILESTONES", 4)
    monkeypatch.setattr(adapting, "SMALLEST_EPOCH", 0)


def settings(files: Path, run: Path, target: str = "target", **changes) -> AdaptSettings:
    plain = AdaptSettings(
        str(files / "source.npz"), str(files / f"{target}.npz"), "adamatch", run, seeds=1, epochs=4
    )
    return replace(plain, **{"precision": "fp32", **changes})


@dataclass(frozen=True)
class Ruinous(Method):
    """Says zero of every target image, as hard as it is allowed to."""

    def update(self, classifier, opponent, teacher, seen):
        labelled, _ = labelled_loss(classifier, seen)
        logits = classifier.logits(classifier.features(seen.target))
        zero = F.cross_entropy(logits, torch.zeros_like(seen.labels))
        return {"loss": labelled + 3 * max(0.0, seen.strength - 0.05) * zero}


def weights_of(path: Path, method: str = "adamatch") -> dict[str, torch.Tensor]:
    [last] = sorted((path / "parts" / f"{method}-seed-0" / "checkpoints").iterdir())[-1:]
    return load_weights(last / "model.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_target_labels_change_nothing_bit_for_bit(files, tmp_path, monkeypatch):
    """Neither training nor the choice of checkpoint, rung and seed."""
    monkeypatch.setattr(adapting, "drifted", lambda run, start: "adamatch-r" in run.path.name)
    for target in ("target", "mixed", "bare"):
        wishes = settings(files, tmp_path / target, target, method="best", seeds=2, epochs=2)
        assert adapt.adapt(wishes).kept().network == "quotas-refined"
    for name in ("adamatch", "adamatch-refined", "quotas-refined"):
        learned = [weights_of(tmp_path / target, name) for target in ("target", "mixed", "bare")]
        assert same(learned[0], learned[1])
        assert same(learned[0], learned[2])
    chosen = [load_weights(tmp_path / t / "model.safetensors") for t in ("target", "mixed", "bare")]
    assert same(chosen[0], chosen[1])
    assert same(chosen[0], chosen[2])


def test_a_network_that_is_refined_goes_on_from_the_chosen_one(files, tmp_path, monkeypatch):
    seen = []
    train = adapting.train

    def recorded(run, pair, plan, steps, seed, start, *others):
        seen.append((plan, start, steps * adapting.BATCH / len(pair.source)))
        return train(run, pair, plan, steps, seed, start, *others)

    monkeypatch.setattr(adapting, "train", recorded)
    study = adapt.adapt(settings(files, tmp_path / "run", method="adamatch-refined", epochs=1))
    # After source-only: its own passes are as many as were asked for, those of refining stay what they are.
    passes = [passes for _, _, passes in seen[1:3]]
    assert passes == pytest.approx([1, plans.PLANS["adamatch-refined"].epochs], rel=0.1)
    plan, start, _ = seen[2]
    assert plan.method.source_free
    assert start is not None
    chosen = adapt.chosen_of(study.run, study.pair, "adamatch", 0).classifier
    assert same(start.state_dict(), chosen.state_dict())
    last = adapt.part_of(study.run, "adamatch-refined", 0).history()[-1]["seconds"] / 60
    minutes = {result.method: result.minutes for result in study.results}
    assert minutes["adamatch-refined"] == pytest.approx(minutes["adamatch"] + last)


@pytest.mark.parametrize("rung", [0, 1, 2])
def test_best_goes_on_to_the_next_rung_where_shares_of_classes_drift(
    files, tmp_path, monkeypatch, rung
):
    drift = plans.RUNGS[:rung]
    monkeypatch.setattr(adapting, "drifted", lambda run, _: run.path.name.startswith(drift))
    run = tmp_path / "run"
    study = adapt.adapt(settings(files, run, method="best", epochs=1))
    [best] = study.of("best")
    assert best.kept == plans.RUNGS[rung]
    [kept] = study.of(best.kept)
    assert best.accuracy == kept.accuracy
    own = adapt.chosen_of(study.run, study.pair, best.kept, 0).classifier.state_dict()
    assert same(study.network("best", 0).state_dict(), own)
    assert same(load_weights(run / "model.safetensors"), own)
    tried = ["adamatch", "adamatch-refined"]
    tried += ["adamatch-quotas", "quotas-refined"] if rung else []
    assert [it.method for it in study.results] == ["source-only", *tried, "best", "target-only"]
    assert adapt.results_in(study.run) == study.results
    page = (adapt_page.tell(study)).read_text()
    assert [told in page for told in (TAUGHT_SHARES, NOTHING_STAYED)] == [rung == 1, rung == 2]
    # What was tried and not kept speaks against nothing that was asked for.
    assert adapting.DRIFTED not in page
    assert (run / "figures" / "choice.png").is_file()
    summary = json.loads((run / "summary.json").read_text())
    assert summary["kept.method"] == best.kept
    assert summary["kept.methods"] == [best.kept]
    assert f"seed 0: {best.kept}" in page
    assert summary["adapt.accuracy"] == best.accuracy
    main(["predict", str(run), str(files / "target.npz"), "--out", str(tmp_path / "pred.csv")])
    with (tmp_path / "pred.csv").open() as file:
        rows = list(csv.DictReader(file))
    test = read(str(files / "target.npz"), "test")
    read_as = adapting.read(study.network("best", 0), test)[1].argmax(1).tolist()
    assert [row["label"] for row in rows] == [study.pair.class_names[k] for k in read_as]


def test_doubts_about_what_a_method_goes_on_from_are_its_own(files, tmp_path, monkeypatch):
    train = adapting.train

    def gave_up(run, pair, plan, *others):
        given_up = train(run, pair, plan, *others)
        return ("the guard gave up.",) if plan is plans.PLANS["adamatch"] else given_up

    monkeypatch.setattr(adapting, "train", gave_up)
    monkeypatch.setattr(adapting, "drifted", lambda run, start: False)
    study = adapt.adapt(settings(files, tmp_path / "run", method="best", epochs=1))
    [best] = study.of("best")
    assert best.kept == "adamatch-refined"
    assert "adamatch: the guard gave up." in best.doubts
    assert "adamatch: the guard gave up." in html.unescape(adapt_page.tell(study).read_text())


def test_information_chooses_between_seeds_of_one_rung_only(files, tmp_path):
    ended = (("quotas-refined", 2.0), ("adamatch-refined", 2.2), ("quotas-refined", 2.1))
    results = [
        Result("best", seed, 1, 1, information, 0.9, kept=plan)
        for seed, (plan, information) in enumerate(ended)
    ]
    run = adapt.RunFolder(tmp_path)
    pair = load_pair(str(files / "source.npz"), str(files / "target.npz"), None, 0)
    wishes = settings(files, tmp_path, method="best", seeds=3)
    assert adapt.Study(run, wishes, pair, results).kept().seed == 2
    doubted = [*results[:2], replace(results[2], doubts=["it gave up."])]
    assert adapt.Study(run, wishes, pair, doubted).kept().seed == 0
    assert adapt.Study(run, wishes, pair, results[:2]).kept().seed == 1  # the rung tried first


@pytest.mark.parametrize(
    ("before", "after", "drifts"),
    [(2.264, 2.265, 0), (2.290, 2.289, 0), (2.300, 2.297, 0), (2.285, 2.263, 1), (2.280, 2.272, 1)],
)
def test_what_was_measured_drifts_or_stays(monkeypatch, tmp_path, before, after, drifts):
    """docs/adaptation.md: USPS, carried over and let go of quotas; house numbers and quotas on USPS."""
    monkeypatch.setattr(adapting, "scored", lambda run: [{"balance": 1.0}, {"balance": after}])
    start = Candidate(0, 2.0, before, 0.9)
    assert adapting.drifted(adapt.RunFolder(tmp_path), start) == drifts


def test_shares_drift_where_balance_falls_by_more_than_drift(files, tmp_path):
    study = adapt.adapt(settings(files, tmp_path / "run", method="adamatch-refined", epochs=1))
    part = adapt.part_of(study.run, "adamatch-refined", 0)
    start = adapt.chosen_of(study.run, study.pair, "adamatch", 0).candidate
    ends = adapting.scored(part)[-1]["balance"]
    [after] = study.of("adamatch-refined")
    assert after.stays is (ends >= start.balance - adapting.DRIFT)
    assert (adapting.DRIFTED in after.doubts) is not after.stays
    for off in (-1e-6, 1e-6):
        begun = replace(start, balance=ends + adapting.DRIFT + off)
        assert adapting.drifted(part, begun) is (off > 0)


def test_a_checkpoint_is_scored_by_what_answers_to_two_views_share(files, tmp_path):
    study = adapt.adapt(settings(files, tmp_path / "run", method="dann", epochs=2))
    part, hidden = adapt.part_of(study.run, "target-only", 0), study.pair.target_val
    moved = to_bytes(augment(to_unit(hidden.images), torch_stream(0, "moved")))
    for line, reader in zip(
        adapting.scored(part), adapting.candidates_of(part, study.pair), strict=True
    ):
        answers = [adapting.read(reader, it)[1] for it in (hidden, replace(hidden, images=moved))]
        assert line["information"] == pytest.approx(shared_information(*answers), abs=1e-5)
    assert adapting.scored(part)[-1]["information"] > 0.01


@pytest.mark.parametrize(
    ("asked", "method"), [("dann", "dann"), ("ruinous", "ruinous"), ("best", "quotas-refined")]
)
def test_a_killed_run_goes_on_bit_for_bit(files, tmp_path, monkeypatch, asked, method):
    longer = replace(plans.PLANS["quotas-refined"], epochs=5)
    monkeypatch.setitem(plans.PLANS, "quotas-refined", longer)
    monkeypatch.setitem(plans.PLANS, "ruinous", Plan(Ruinous(), epochs=8))
    monkeypatch.setattr(adapting, "drifted", lambda run, start: "adamatch-r" in run.path.name)
    whole = adapt.adapt(settings(files, tmp_path / "whole", method=asked))
    assert len(whole.pair.source) != len(whole.pair.target)
    assert whole.of(method)[0].retreats or method != "ruinous"
    last = adapt.part_of(whole.run, method, 0).history()[-1]["step"]
    assert last > 30
    draw = adapting.Adaptation.draw
    strength = adapting.GENTLER ** len(whole.of(method)[0].retreats)

    def killed(self, step, turn):
        if self.plan is plans.PLANS[method] and self.strength == strength and step == 3 * last // 4:
            raise RuntimeError("killed")
        return draw(self, step, turn)

    with monkeypatch.context() as patch:
        patch.setattr(adapting.Adaptation, "draw", killed)
        patch.setattr(adapting, "LoopSettings", partial(LoopSettings, checkpoint_seconds=0.2))
        with pytest.raises(RuntimeError, match="killed"):
            adapt.adapt(settings(files, tmp_path / "killed", method=asked))
    part = adapt.part_of(adapt.RunFolder(tmp_path / "killed"), method, 0)
    kept = part.checkpoints.load()
    assert kept is not None
    assert kept.position["step"] > 0
    main(["resume", str(tmp_path / "killed")])
    again = adapt.results_in(adapt.RunFolder.open(tmp_path / "killed"))
    main(["resume", str(part.path)])  # what a full disk tells people to; goes on with the whole run
    assert same(weights_of(tmp_path / "whole", method), weights_of(tmp_path / "killed", method))
    candidates = [
        [load_weights(file) for file in sorted((path / part.path.name / "candidates").iterdir())]
        for path in (tmp_path / "whole" / "parts", tmp_path / "killed" / "parts")
    ]
    assert all(same(a, b) for a, b in zip(*candidates, strict=True))
    for a, b in zip(whole.results, again, strict=True):
        assert (a.method, a.accuracy, a.oracle) == (b.method, b.accuracy, b.oracle)
        assert [r["back_to"] for r in a.retreats] == [r["back_to"] for r in b.retreats]


def test_progress_is_steps_done_over_steps_planned_whatever_the_loaders(files):
    pair = load_pair(str(files / "source.npz"), str(files / "target.npz"), None, 0)
    turned = load_pair(str(files / "target.npz"), str(files / "source.npz"), None, 0)
    for each in (pair, turned):
        plan = plans.PLANS["dann"]
        steps = adapting.steps_of(each, 2, 0)
        larger = max(len(each.source), len(each.target))
        assert steps == round(2 * larger / adapting.BATCH)
        learner = adapting.Learner(adapting.DigitJudge(10, 1), None)
        method = adapting.Adaptation(learner, each, plan, steps, seed=0)
        found = [method.draw(step)["progress"].unique().item() for step in range(steps + 2)]
        assert found[:steps] == pytest.approx([step / steps for step in range(steps)])
        assert found[steps:] == [1.0, 1.0]


def test_small_sets_get_as_many_steps_as_methods_need(files, tmp_path, monkeypatch):
    monkeypatch.setattr(adapting, "SMALLEST_EPOCH", 640)
    seen = []

    def recorded(run, pair, plan, steps, *others):
        seen.append((plan.epochs, steps))
        raise KeyboardInterrupt

    monkeypatch.setattr(adapting, "train", recorded)
    for epochs in (None, 4):
        with pytest.raises(KeyboardInterrupt):
            adapt.adapt(settings(files, tmp_path / f"{epochs}", epochs=epochs))
    pair = load_pair(str(files / "source.npz"), str(files / "target.npz"), None, 0)
    [(own, steps), (_, asked)] = seen
    assert steps == own * 640 / adapting.BATCH
    assert asked == round(4 * len(pair.source) / adapting.BATCH)


def test_dann_is_trained_as_published():
    """SGD of 0.01 with momentum 0.9, annealed, gradients as they are (Ganin et al. 2016, section 5.2)."""
    plan = plans.PLANS["dann"]
    [sgd] = plan.optimizers(nn.Linear(2, 2)).parts
    assert isinstance(sgd, torch.optim.SGD)
    [group] = sgd.param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.01, 0.9, 0)
    assert 0.01 * plan.rate(0.5) == pytest.approx(0.002608, abs=5e-7)
    assert plan.clip_norm == math.inf
    assert plan.views == plans.Views()


def test_normalisation_follows_the_images_that_are_read(files):
    pair = load_pair(str(files / "source.npz"), str(files / "target.npz"), None, 0)
    judge = adapting.DigitJudge(10, 1)
    own, other = (adapting.with_statistics_of(judge, it) for it in (pair.source, pair.target))
    for ready, images in ((own, pair.source), (other, pair.target)):
        first, norm = ready.body[0][0], ready.body[0][1]
        assert isinstance(norm, nn.BatchNorm2d)
        with torch.inference_mode():
            seen = first(to_unit(images.images)).mean((0, 2, 3))
        torch.testing.assert_close(norm.running_mean, seen, atol=1e-4, rtol=1e-3)
    assert not torch.allclose(own.body[0][1].running_mean, other.body[0][1].running_mean, atol=0.1)


def test_the_average_teaches_normalised_by_its_batch(files):
    pair = load_pair(str(files / "source.npz"), str(files / "target.npz"), None, 0)
    learner = adapting.Learner(adapting.DigitJudge(10, 1), None)
    average = copy.deepcopy(learner).eval()
    method = adapting.Adaptation(learner, pair, plans.PLANS["adamatch"], steps=10, seed=0)
    method.begin(average, retreats=2)
    assert method.teacher is average.classifier
    assert method.strength == pytest.approx(adapting.GENTLER**2)
    images = 5 + torch.randn(8, 1, 16, 16)
    [norm] = [layer for layer in average.classifier.body[0] if isinstance(layer, nn.BatchNorm2d)]
    seen = []
    norm.register_forward_hook(lambda layer, given, result: seen.append(result))
    method.teacher.features(images)
    assert seen[0].mean((0, 2, 3)).abs().max() < 1e-3


def test_dropout_is_drawn_with_the_batch(files):
    pair = load_pair(str(files / "source.npz"), str(files / "target.npz"), None, 0)
    learner = adapting.Learner(adapting.DigitJudge(10, 1), None)
    plan = Plan(SourceOnly(), dropout=0.4)
    first, again = (adapting.Adaptation(learner, pair, plan, steps=10, seed=0) for _ in range(2))
    kept = first.draw(3)["kept"]
    assert kept.shape == (32, learner.classifier.feature_size)
    assert torch.equal(again.draw(3)["kept"], kept)
    assert not torch.equal(again.draw(4)["kept"], kept)
    assert kept.unique().tolist() == pytest.approx([0.0, 1 / 0.6])
    assert (kept == 0).float().mean().item() == pytest.approx(0.4, abs=0.03)
    batch = first.draw(3)
    hidden = first.loss(learner, batch | {"kept": torch.zeros_like(kept)})["loss"]
    head = learner.classifier.head.bias
    assert hidden.item() == pytest.approx(
        F.cross_entropy(head.expand(32, -1), batch["labels"]).item()
    )
    assert "kept" not in adapting.Adaptation(learner, pair, Plan(SourceOnly()), 10, 0).draw(3)


@pytest.mark.parametrize(
    ("target", "sign"), [("source", "source accuracy is"), ("target", "lean to few classes")]
)
def test_a_collapsing_run_is_sent_back_told_of_and_recovers(
    files, tmp_path, monkeypatch, capsys, target, sign
):
    monkeypatch.setitem(plans.PLANS, "ruinous", Plan(Ruinous(), epochs=8))
    study = adapt.adapt(settings(files, tmp_path / "run", target, method="ruinous", epochs=8))
    [result] = study.of("ruinous")
    assert 1 <= len(result.retreats) <= 4
    assert sign in result.retreats[0]["why"]
    part = adapt.part_of(study.run, "ruinous", 0)
    assert len([line for line in part.history() if "balance" in line]) == 4
    said = " ".join(capsys.readouterr().out.split())
    [first, *_] = re.findall(r"step (\d+): ([^;]+); the guard sends the run back", said)
    assert first == (str(result.retreats[0]["record"]["step"]), result.retreats[0]["why"])
    assert f"sent back {len(result.retreats)} times" in said
    told = html.unescape(adapt_page.tell(study).read_text())
    assert f"{result.retreats[0]['why']}; went back to step" in told
    assert "No run collapsed" not in told
    # Without the guard the same run ends collapsed.
    monkeypatch.setattr(adapting.CollapseGuard, "verdict", lambda *_: None)
    lost = adapt.adapt(replace(study.settings, run=tmp_path / "lost"))
    ends = [
        adapt.part_of(run, "ruinous", 0).history()[-1]["agreement"] for run in (study.run, lost.run)
    ]
    assert ends[0] > 0.9
    assert ends[1] < 0.2


class Exchanging(Method):
    """Reads every target image as the class after the one that it was read as at first."""

    before: nn.Module | None = None

    def update(self, classifier, opponent, teacher, seen):
        if self.before is None:
            self.before = copy.deepcopy(classifier)
        labelled, _ = labelled_loss(classifier, seen)
        with torch.no_grad():
            next_class = (self.before(seen.target).argmax(1) + 1) % classifier.classes
        logits = classifier.logits(classifier.features(seen.target))
        exchanged = F.cross_entropy(logits, next_class)
        return {"loss": labelled + max(0.0, seen.strength - 0.05) * exchanged}


def test_classes_that_are_exchanged_are_seen_by_agreement_alone(files, tmp_path, monkeypatch):
    plan = Plan(Exchanging(), start="source-only")
    monkeypatch.setitem(plans.PLANS, "exchanging", plan)
    study = adapt.adapt(settings(files, tmp_path / "run", method="exchanging", epochs=8))
    [result] = study.of("exchanging")
    assert "classes of the target have been exchanged" in result.retreats[0]["why"]
    part = adapt.part_of(study.run, "exchanging", 0)
    assert part.history()[-1]["agreement"] > 0.6


def test_the_command_writes_table_pictures_and_page(files, tmp_path):
    run = tmp_path / "run"
    source, target = str(files / "source.npz"), str(files / "target.npz")
    words = ["adapt", "--source", source, "--target", target, "--method", "shot", "--run", str(run)]
    main([*words, "--seeds", "2", "--epochs", "1"])
    figures = json.loads((run / "summary.json").read_text())
    for role in ("source", "adapt", "target", "oracle"):
        assert 0 <= figures[f"{role}.accuracy.low"] <= figures[f"{role}.accuracy"] <= 1
    with (run / "table.csv").open() as file:
        names = [row["method"] for row in csv.DictReader(file)]
    assert names == ["source-only", "source-augmented", "shot", "target-only"]
    pictures = {path.stem for path in (run / "figures").glob("*.png")}
    assert {
        "confusion-before",
        "confusion-after",
        "choice",
        "features-before-class",
        "features-after-domain",
    } <= pictures
    page = (run / "report.html").read_text()
    assert "No run collapsed" in page
    assert "source-only" in (run / "table.txt").read_text()


def test_several_methods_are_one_table_and_the_first_is_the_runs_own(files, tmp_path):
    study = adapt.adapt(settings(files, tmp_path / "run", method="coral, dann", epochs=1))
    assert study.adapted() == "coral"
    names = ["source-only", "dann", "coral", "target-only"]
    assert [result.method for result in study.results] == names
    assert [row.method for row in adapt_page.rows_of(adapt.results_in(study.run))] == names
    assert adapt.asked("best, dann,best") == [plans.BEST, "dann"]


def test_all_methods_are_one_table(files, tmp_path):
    study = adapt.adapt(settings(files, tmp_path / "run", method="all", epochs=0.5))
    every = [name for name in plans.PLANS if name not in ("source-only", "target-only")]
    assert [row.method for row in adapt_page.rows_of(study.results)][1:-1] == [*every, "best"]
    assert study.adapted() == plans.BEST
    assert all(result.accuracy is not None for result in study.results)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--method", "dan"], "unknown method 'dan': did you mean 'dann'"),
        (["--method", "best,all"], "--method all stands for every method; name it alone"),
        (["--seeds", "0"], "--seeds must be at least 1"),
        (["--epochs", "-1"], "--epochs must be a finite number above 0"),
    ],
)
def test_wishes_that_cannot_be(files, tmp_path, capsys, words, said):
    pair = ["--source", str(files / "source.npz"), "--target", str(files / "target.npz")]
    with pytest.raises(SystemExit, match="2"):
        main(["adapt", *pair, "--run", str(tmp_path / "run"), *words])
    assert re.search(re.escape(said), capsys.readouterr().err)
    assert not (tmp_path / "run").exists()


def test_a_target_of_one_class_is_told_of_and_adapted_to(files, tmp_path, capsys):
    with np.load(files / "target.npz") as arrays:
        kept = {
            f"{split}_{what}": arrays[f"{split}_{what}"][arrays[f"{split}_labels"] == 3]
            for split in ("train", "test")
            for what in ("images", "labels")
        }
    np.savez(tmp_path / "threes.npz", **kept)
    wishes = settings(files, tmp_path / "run", epochs=1)
    study = adapt.adapt(replace(wishes, target=str(tmp_path / "threes.npz")))
    assert "no image of 0" in " ".join(capsys.readouterr().out.split())
    assert study.of("adamatch")[0].accuracy is not None
    assert adapt_page.tell(study).is_file()


def test_both_views_of_the_target_are_of_the_same_images_and_labels_are_the_sources(files):
    pair = load_pair(str(files / "source.npz"), str(files / "target.npz"), None, 0)
    learner = adapting.Learner(adapting.DigitJudge(10, 1), None)
    batch = adapting.Adaptation(learner, pair, Plan(SourceOnly()), steps=10, seed=0).draw(3)
    assert torch.equal(batch["target"], batch["strong"])
    for name, images in (("source", pair.source), ("target", pair.target)):
        shown = to_bytes(batch[name])[:, None]
        found = (shown == images.images[None]).flatten(2).all(2)
        assert found.any(1).all()
        if name == "source":
            places = found.int().argmax(1)
            assert torch.equal(batch["labels"], images.labels["class"][places])
