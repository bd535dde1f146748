"""Adaptation from command to table: what is read, what is chosen, what survives a kill."""

import copy
import csv
import json
import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from marmor.adaptation import shared_information
from marmor.adaptation.methods import Method, SourceOnly
from marmor.adaptation.methods.base import labelled_loss
from marmor.base.errors import UserError
from marmor.base.pixels import to_bytes, to_unit
from marmor.base.seeds import torch_stream
from marmor.cli import main
from marmor.data import read
from marmor.data.augment import augment
from marmor.recipes import adapt, adapt_page, adapting, plans
from marmor.recipes.adapt import AdaptSettings
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


def settings(files: Path, run: Path, target: str = "target", **changes) -> AdaptSettings:
    plain = AdaptSettings(
        str(files / "source.npz"), str(files / f"{target}.npz"), "adamatch", run, seeds=1, epochs=4
    )
    return replace(plain, **{"precision": "fp32", **changes})


def weights_of(path: Path, method: str = "adamatch") -> dict[str, torch.Tensor]:
    [last] = sorted((path / "parts" / f"{method}-seed-0" / "checkpoints").iterdir())[-1:]
    return load_weights(last / "model.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_target_labels_change_nothing_bit_for_bit(files, tmp_path):
    method = "adamatch-refined"
    for target in ("target", "mixed", "bare"):
        adapt.adapt(settings(files, tmp_path / target, target, method=method))
    for name in ("adamatch", method):
        learned = [weights_of(tmp_path / target, name) for target in ("target", "mixed", "bare")]
        assert same(learned[0], learned[1])
        assert same(learned[0], learned[2])
    chosen = [load_weights(tmp_path / t / "model.safetensors") for t in ("target", "mixed")]
    assert same(*chosen)


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


@pytest.mark.parametrize("method", ["dann", "adamatch"])
def test_a_killed_run_goes_on_bit_for_bit(files, tmp_path, monkeypatch, method):
    whole = adapt.adapt(settings(files, tmp_path / "whole", method=method))
    draw, seen = adapting.Adaptation.draw, []
    steps = adapting.steps_of(whole.pair, Plan(SourceOnly(), epochs=4))
    assert steps > 30

    def killed(self, step, turn):
        seen.append(step)
        if len(seen) == steps + 26:  # in the middle of the method, after all of source-only
            raise RuntimeError("killed")
        return draw(self, step, turn)

    with monkeypatch.context() as patch:
        patch.setattr(adapting.Adaptation, "draw", killed)
        patch.setattr(adapting, "LoopSettings", partial(LoopSettings, checkpoint_seconds=0.0))
        with pytest.raises(RuntimeError, match="killed"):
            adapt.adapt(settings(files, tmp_path / "killed", method=method))
    part = adapt.part_of(adapt.RunFolder(tmp_path / "killed"), method, 0)
    kept = part.checkpoints.load()
    assert kept is not None
    assert kept.position["step"] > 0
    again = adapt.resume(adapt.RunFolder.open(tmp_path / "killed"))
    assert same(weights_of(tmp_path / "whole", method), weights_of(tmp_path / "killed", method))
    candidates = [
        [load_weights(file) for file in sorted((path / part.path.name / "candidates").iterdir())]
        for path in (tmp_path / "whole" / "parts", tmp_path / "killed" / "parts")
    ]
    assert all(same(a, b) for a, b in zip(*candidates, strict=True))
    for a, b in zip(whole.results, again.results, strict=True):
        assert (a.method, a.accuracy, a.oracle) == (b.method, b.accuracy, b.oracle)


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


@dataclass(frozen=True)
class Ruinous(Method):
    """Says zero of every target image, as hard as it is allowed to."""

    def update(self, classifier, opponent, teacher, seen):
        labelled, _ = labelled_loss(classifier, seen)
        logits = classifier.logits(classifier.features(seen.target))
        zero = F.cross_entropy(logits, torch.zeros_like(seen.labels))
        return {"loss": labelled + 3 * max(0.0, seen.strength - 0.05) * zero}


def test_a_collapsing_run_is_sent_back_told_of_and_recovers(files, tmp_path, monkeypatch):
    monkeypatch.setitem(plans.PLANS, "ruinous", Plan(Ruinous(), epochs=8))
    study = adapt.adapt(settings(files, tmp_path / "run", "source", method="ruinous", epochs=8))
    [result] = study.of("ruinous")
    assert 1 <= len(result.retreats) <= 4
    assert "source accuracy is" in result.retreats[0]["why"]
    part = adapt.part_of(study.run, "ruinous", 0)
    assert len([line for line in part.history() if "balance" in line]) == 4
    assert result.accuracy is not None
    # Without the guard the same run ends collapsed.
    monkeypatch.setattr(adapting.CollapseGuard, "verdict", lambda *_: None)
    [lost] = adapt.adapt(replace(study.settings, run=tmp_path / "lost")).of("ruinous")
    assert lost.accuracy is not None
    assert lost.accuracy < 0.2 < 0.7 < result.accuracy


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


def test_the_command_writes_table_pictures_page_and_predictions(files, tmp_path, capsys):
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
    assert {"confusion", "choice", "features-before-class", "features-after-domain"} <= pictures
    page = (run / "report.html").read_text()
    assert "No run collapsed" in page
    assert "source-only" in (run / "table.txt").read_text()

    out = tmp_path / "pred.csv"
    main(["predict", str(run), target, "--out", str(out), "--probabilities"])
    rows = list(csv.DictReader(out.open()))
    assert len(rows) == 300
    shares = [float(rows[0][str(digit)]) for digit in range(10)]
    assert sum(shares) == pytest.approx(1, abs=1e-4)
    assert shares[int(rows[0]["label"])] == max(shares)
    like = tmp_path / "like.csv"
    like.write_text("image_name,label\n000005,\n000002,\n")
    main(["predict", str(run), target, "--out", str(out), "--like", str(like)])
    expected = [{k: rows[i][k] for k in ("image_name", "label")} for i in (5, 2)]
    assert list(csv.DictReader(out.open())) == expected
    like.write_text("image_name,label\nnone.png,\n")
    with pytest.raises(SystemExit, match="2"):
        main(["predict", str(run), target, "--out", str(out), "--like", str(like)])
    assert "none.png, which is not among the images" in capsys.readouterr().err


def test_several_methods_are_one_table_and_the_first_is_the_runs_own(files, tmp_path):
    study = adapt.adapt(settings(files, tmp_path / "run", method="coral, dann", epochs=1))
    assert study.adapted() == "coral"
    names = ["source-only", "coral", "dann", "target-only"]
    assert [result.method for result in study.results] == names
    assert [row.method for row in adapt_page.rows_of(adapt.results_in(study.run))] == names
    assert adapt.asked("best, dann,best") == [plans.BEST, "dann"]
    assert adapt.asked("all") == adapt.methods()


def test_grey_and_colour_and_other_sizes_are_reconciled_and_told(files):
    pair = load_pair("mnist-m", str(files / "target.npz"), None, 0)
    assert pair.source.images.shape[1:] == pair.target.images.shape[1:] == (3, 28, 28)
    assert any("resized from 16×16 to 28×28" in note for note in pair.notes)
    assert not pair.target.labels
    assert not pair.target.names


def write(path: Path, count: int, classes: list[int], **changes) -> str:
    images = np.random.default_rng(0).integers(0, 255, (count, 16, 16), dtype=np.uint8)
    labels = np.resize(classes, count)
    np.savez(path, **{"images": images, "labels": labels, **changes})
    return str(path)


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ((40, [0, 1]), (40, [0, 2]), "shows the classes 2, which the source does not have"),
        ((40, [1]), (40, [0, 1]), "1 class"),
        ((40, [0, 1]), (3, [0, 1]), r"of the target are too few \(2\)"),
    ],
)
def test_pairs_that_cannot_be(tmp_path, source, target, said):
    a, b = write(tmp_path / "a.npz", *source), write(tmp_path / "b.npz", *target)
    with pytest.raises(UserError, match=said):
        load_pair(a, b, None, 0)


def test_a_class_that_the_target_lacks_is_told(tmp_path):
    a = write(tmp_path / "a.npz", 60, [0, 1, 2])
    b = write(tmp_path / "b.npz", 60, [0, 1])
    assert any("no image of 2" in note for note in load_pair(a, b, None, 0).notes)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--method", "dan"], "unknown method 'dan': did you mean 'dann'"),
        (["--method", "best,all"], "unknown method 'all'"),
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
