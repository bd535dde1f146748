import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from marmor.adaptation import adversarial_weight, information
from marmor.adaptation.methods import (
    AdaMatch,
    Cdan,
    Coral,
    Dann,
    InfoMax,
    MeanTeacher,
    Mmd,
    Refining,
    Seen,
    Shot,
    SourceOnly,
)
from marmor.adaptation.methods.self_training import aligned

ALL = [
    SourceOnly(),
    Dann(),
    Dann(units=2),
    Cdan(),
    Coral(),
    Mmd(),
    MeanTeacher(),
    AdaMatch(),
    AdaMatch(rounds=5, balance=1.0),
    InfoMax(),
    Shot(),
    Refining(),
]
WITH_SOURCE = [method for method in ALL if not method.source_free]
CLASSES = 3


class Small(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body, self.head = nn.Linear(12, 6), nn.Linear(6, CLASSES)

    def features(self, x):
        return torch.tanh(self.body(x.flatten(1)))

    def logits(self, features):
        return self.head(features)


def seen(progress=0.5, strength=1.0, **changes):
    generator = torch.Generator().manual_seed(1)
    source, target, strong = torch.randn(3, 8, 3, 2, 2, generator=generator)
    labels = torch.arange(8) % CLASSES
    values = {"source": source, "labels": labels, "target": target + 1, "strong": strong + 1}
    return Seen(**{**values, "progress": progress, "strength": strength, **changes})


def apart(progress=0.5):
    """The same, of images that lie further apart, so that some are read more surely than others."""
    given = seen(progress)
    return replace(given, source=4 * given.source, target=4 * given.target, strong=4 * given.strong)


def step(method, given, classifier=None):
    """(losses, gradients of the classifier, gradients of the opponent)."""
    classifier = classifier or Small()
    torch.manual_seed(5)
    opponent = method.opponent(6, CLASSES)
    losses = method.update(classifier, opponent, Small(seed=9), given)
    losses["loss"].backward()

    def gradients(module):
        parameters = module.parameters() if module is not None else ()
        return [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]

    return losses, gradients(classifier), gradients(opponent)


@pytest.mark.parametrize("method", ALL, ids=lambda m: type(m).__name__)
def test_losses_are_finite_scalars_and_move_the_classifier(method):
    losses, gradients, _ = step(method, seen())
    assert all(value.ndim == 0 and value.isfinite() for value in losses.values())
    assert sum(gradient.abs().sum() for gradient in gradients) > 0


@pytest.mark.parametrize("method", WITH_SOURCE, ids=lambda m: type(m).__name__)
def test_without_strength_the_classifier_learns_from_labels_alone(method):
    _, expected, _ = step(SourceOnly(), seen())
    _, found, _ = step(method, seen(strength=0.0))
    for a, b in zip(expected, found, strict=True):
        assert torch.allclose(a, b, atol=1e-7)


@pytest.mark.parametrize("method", WITH_SOURCE, ids=lambda m: type(m).__name__)
def test_the_source_teaches_the_last_layer_only_through_what_dropout_leaves(method):
    kept = torch.ones(8, 6)
    kept[:, 2], kept[:, 3] = 0.0, 2.0
    _, found, _ = step(method, seen(strength=0.0, kept=kept))
    given, classifier = seen(), Small()
    logits = classifier.logits(classifier.features(given.source) * kept)
    expected = torch.autograd.grad(
        F.cross_entropy(logits, given.labels), [*classifier.parameters()]
    )
    assert not expected[2][:, 2].any()
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, atol=1e-7)


@pytest.mark.parametrize("units", [1, 2])
def test_dann_is_a_saddle_point_with_one_turn_of_the_sign(units):
    """The classifier gets ∂labels − λ·∂domains, the opponent ∂domains itself."""
    progress, method, classifier = 0.25, Dann(units=units), Small()
    given = seen(progress)
    _, ours, opponents = step(method, given, classifier)
    plain = Small()
    torch.manual_seed(5)
    opponent = method.opponent(6, CLASSES)
    fs, ft = plain.features(given.source), plain.features(given.target)
    scores = opponent(torch.cat([fs, ft]))
    domain = torch.tensor([0.0] * 8 + [1.0] * 8)
    margin = scores[:, 0] if units == 1 else scores[:, 1] - scores[:, 0]
    domains = 2 * F.binary_cross_entropy_with_logits(margin, domain)
    labelled = F.cross_entropy(plain.logits(fs), given.labels)
    parts = [*plain.parameters()]
    of_labels = torch.autograd.grad(labelled, parts, retain_graph=True)
    of_domains = torch.autograd.grad(domains, [*parts, *opponent.parameters()], allow_unused=True)
    weight = adversarial_weight(progress)
    for found, a, b in zip(ours, of_labels, of_domains, strict=False):
        assert torch.allclose(found, a - weight * (0 if b is None else b), atol=1e-6)
    for found, expected in zip(opponents, of_domains[len(parts) :], strict=True):
        assert torch.allclose(found, expected, atol=1e-6)


class Shifted(nn.Module):
    """One feature from (x, place): source images lie at place 0, target images at place 1."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor([0.5, 0.8]))
        self.head = nn.Linear(1, 2, bias=False)
        nn.init.constant_(self.head.weight, 0.1)

    def features(self, x):
        return x.flatten(1) @ self.weights[:, None]

    def logits(self, features):
        return self.head(features)


@pytest.mark.parametrize(
    ("method", "vanishes"), [(SourceOnly(), False), (Dann(), True), (Mmd(), True)]
)
def test_the_weight_on_what_tells_domains_apart(method, vanishes):
    classifier = Shifted()
    torch.manual_seed(0)
    opponent = method.opponent(1, 2)
    extra = [] if opponent is None else [*opponent.parameters()]
    optimizer = torch.optim.SGD([*classifier.parameters(), *extra], lr=0.05)
    for _ in range(1500):
        x, z = torch.randn(2, 64)
        source = torch.stack([x, torch.zeros(64)], 1)[:, :, None, None]
        target = torch.stack([z, torch.ones(64)], 1)[:, :, None, None]
        given = Seen(source, (x > 0).long(), target, target, progress=0.2)
        optimizer.zero_grad()
        method.update(classifier, opponent, classifier, given)["loss"].backward()
        optimizer.step()
    place = classifier.weights[1].item()
    assert abs(place) < 0.15 if vanishes else place == pytest.approx(0.8)


@pytest.mark.parametrize("method", [Shot(), Refining()], ids=lambda m: type(m).__name__)
def test_what_is_source_free_reads_no_source(method):
    other = seen(source=torch.zeros(8, 3, 2, 2), labels=torch.zeros(8, dtype=torch.long))
    for a, b in zip(step(method, seen())[1], step(method, other)[1], strict=True):
        assert torch.equal(a, b)


def test_refining_learns_what_the_teacher_says_of_the_easy_view():
    kept = torch.ones(8, 6)
    kept[:, 2], kept[:, 3] = 0.0, 2.0
    easy = 3 * torch.randn(8, 3, 2, 2, generator=torch.Generator().manual_seed(2))
    given, teacher = seen(strength=0.3, kept=kept, target=easy), Small(seed=9)
    losses, found, _ = step(Refining(information=0.7), given)
    taught = teacher.logits(teacher.features(given.target)).argmax(1)
    assert len(taught.unique()) > 1
    plain = Small()
    features = plain.features(given.strong)
    said = plain.logits(features)
    learned = F.cross_entropy(plain.logits(features * kept), taught)
    assert losses["pseudo"].item() == pytest.approx(learned.item())
    told = losses["balance"] - losses["unsure"]
    assert told.item() == pytest.approx(information(said), abs=1e-5)
    apart = said.softmax(1)
    mean = apart.mean(0)
    unsure = -(apart * apart.log()).sum(1).mean() + (mean * mean.log()).sum()
    loss = 0.3 * (learned + 0.7 * unsure)
    expected = torch.autograd.grad(loss, [*plain.parameters()])
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_shot_informs_the_easy_view_and_teaches_the_hard_one():
    easy = 3 * torch.randn(8, 3, 2, 2, generator=torch.Generator().manual_seed(2))
    given, teacher = seen(strength=0.3, target=easy), Small(seed=9)
    losses, found, _ = step(Shot(pseudo=0.7), given)
    plain = Small()
    said = plain.logits(plain.features(given.target)).softmax(1)
    mean = said.mean(0)
    uninformed = -(said * said.log()).sum(1).mean() + (mean * mean.log()).sum()
    taught = teacher.logits(teacher.features(given.target)).argmax(1)
    assert len(taught.unique()) > 1
    learned = F.cross_entropy(plain.logits(plain.features(given.strong)), taught)
    assert losses["pseudo"].item() == pytest.approx(learned.item())
    loss = 0.3 * (uninformed + 0.7 * learned)
    assert losses["loss"].item() == pytest.approx(loss.item(), abs=1e-6)
    for a, b in zip(found, torch.autograd.grad(loss, [*plain.parameters()]), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(("progress", "ramp"), [(0.0, 0.0), (0.1, 0.5), (0.2, 1.0), (0.9, 1.0)])
def test_infomax_is_labels_and_a_growing_share_of_shot(progress: float, ramp: float) -> None:
    given, method = seen(progress), InfoMax(weight=2.0, pseudo=0.7)
    losses, gradients, _ = step(method, given)
    of_labels, of_target = (step(part, given) for part in (SourceOnly(), Shot(pseudo=0.7)))
    for found, a, b in zip(gradients, of_labels[1], of_target[1], strict=True):
        assert torch.allclose(found, a + 2 * ramp * b, atol=1e-6)
    said = Small().logits(Small().features(given.target)).softmax(1)
    told = losses["balance"] - losses["unsure"]
    assert told.item() == pytest.approx(information(said.log()), abs=1e-5)


@pytest.mark.parametrize(
    "method",
    [MeanTeacher(), AdaMatch(), InfoMax(), Shot(), Refining()],
    ids=lambda m: type(m).__name__,
)
def test_a_teacher_gets_no_gradient(method):
    teacher = Small(seed=9)
    before = copy.deepcopy(teacher.state_dict())
    method.update(Small(), None, teacher, seen())["loss"].backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())


class Sure(nn.Module):
    """A teacher that says class 1 of every image, as surely as it is told."""

    def __init__(self, sureness: float) -> None:
        super().__init__()
        self.sureness = sureness

    def features(self, x):
        return x

    def logits(self, features):
        rest = (1 - self.sureness) / (CLASSES - 1)
        p = torch.tensor([rest, self.sureness, rest]).expand(len(features), -1)
        return p.log()


def test_a_mean_teacher_teaches_squared_differences_where_it_is_sure():
    given, method = seen(), MeanTeacher(weight=2.0, confidence=0.9, balance=0.3)
    plain = Small()
    losses = method.update(plain, None, Sure(0.95), given)
    assert losses["sure"] == 1
    said = plain.logits(plain.features(given.strong)).softmax(1)
    taught = torch.tensor([0.025, 0.95, 0.025])
    apart = (said - taught).square().sum(1).mean()
    torch.testing.assert_close(losses["consistency"], apart)
    uneven = -(said.mean(0) + 1e-6).log().mean() - math.log(CLASSES)
    labelled = F.cross_entropy(plain.logits(plain.features(given.source)), given.labels)
    torch.testing.assert_close(losses["loss"], labelled + 2 * (apart + 0.3 * uneven))
    assert method.update(plain, None, Sure(0.89), given)["consistency"] == 0


def test_adamatch_counts_what_is_surer_than_most_of_the_source_is():
    """The threshold follows how sure the source is read, and the loss ramps up by a cosine."""
    given, plain = apart(progress=0.25), Small()
    source = plain.logits(plain.features(given.source)).softmax(1)
    mean = source.amax(1).mean().item()
    taught = aligned(
        Small(seed=9).logits(Small(seed=9).features(given.target)).softmax(1), source.mean(0), 1
    )
    surest, pseudo = taught.max(1)
    for confidence in (0.9, 1.0, 1.1):
        counts = surest > confidence * mean
        assert 0 < counts.sum() < len(counts)
        losses = AdaMatch(confidence=confidence).update(plain, None, Small(seed=9), given)
        hard = plain.logits(plain.features(given.strong))
        each = F.cross_entropy(hard, pseudo, reduction="none")
        torch.testing.assert_close(losses["pseudo"], (each * counts).mean())
        torch.testing.assert_close(losses["sure"], counts.float().mean())
        # Half of the way up at a quarter of the run.
        torch.testing.assert_close(losses["loss"], losses["labelled"] + 0.5 * losses["pseudo"])
    for progress, ramp in ((0.0, 0.0), (0.125, 0.5 - 0.5**1.5), (0.5, 1.0), (0.9, 1.0)):
        losses = AdaMatch().update(plain, None, Small(seed=9), apart(progress))
        torch.testing.assert_close(losses["loss"], losses["labelled"] + ramp * losses["pseudo"])


@pytest.mark.parametrize(
    ("method", "weight"),
    [(Coral(), 100.0), (Mmd(), adversarial_weight(0.5))],
    ids=["coral", "mmd"],
)
def test_discrepancies_are_weighed(method, weight):
    losses, _, _ = step(method, seen(progress=0.5))
    assert losses["discrepancy"] > 1e-4
    torch.testing.assert_close(losses["loss"], losses["labelled"] + weight * losses["discrepancy"])
    halved, _, _ = step(method, seen(progress=0.5, strength=0.5))
    torch.testing.assert_close(
        halved["loss"], halved["labelled"] + 0.5 * weight * losses["discrepancy"]
    )


def test_rounds_of_scaling_bring_the_shares_and_keep_the_order_within_a_class():
    said = torch.rand(40, CLASSES, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [1.0, 1.0, 0.1]
    )
    said = said / said.sum(1, keepdim=True)
    shares = torch.tensor([0.2, 0.5, 0.3])
    torch.testing.assert_close(aligned(said, shares, rounds=200).mean(0), shares, atol=1e-4, rtol=0)
    once = said * shares / said.mean(0)
    torch.testing.assert_close(aligned(said, shares, rounds=1), once / once.sum(1, keepdim=True))
    ratios = aligned(said, shares, rounds=5) / said
    odds = ratios[:, 1] / ratios[:, 0]
    torch.testing.assert_close(odds, odds[:1].expand(40))
    assert torch.equal(aligned(shares.expand(4, 3), shares, rounds=7), shares.expand(4, 3))


def test_balance_pulls_towards_the_shares_of_the_source():
    given = seen(progress=1.0)
    plain, _, _ = step(AdaMatch(), given)
    weighed, _, _ = step(AdaMatch(balance=2.0), given)
    assert plain["uneven"] > 0
    torch.testing.assert_close(weighed["loss"] - plain["loss"], 2 * plain["uneven"])
    classifier = Small()
    optimizer = torch.optim.SGD(classifier.parameters(), lr=0.01)
    for _ in range(300):
        optimizer.zero_grad()
        losses = AdaMatch(balance=20.0).update(classifier, None, Small(seed=9), given)
        losses["loss"].backward()
        optimizer.step()
    assert losses["uneven"] < 0.2 * plain["uneven"]


def test_cdan_weights_sure_images_more_and_each_domain_by_one():
    method, given, plain = Cdan(), apart(), Small()
    plain.head.weight.data *= 8  # sure of some images, and not of others
    losses, _, opponents = step(method, given, plain)
    assert opponents[0].shape == (method.hidden, 6 * CLASSES)
    torch.manual_seed(5)
    opponent = method.opponent(6, CLASSES)
    domains = torch.tensor(0.0)
    for images, label in ((given.source, 0.0), (given.target, 1.0)):
        features = plain.features(images)
        said = plain.logits(features).softmax(1)
        joint = torch.einsum("bf,bc->bfc", features, said).flatten(1)
        sure = 1 + (said * said.log()).sum(1).exp()
        assert sure.std() > 0.1
        each = F.binary_cross_entropy_with_logits(
            opponent(joint)[:, 0], torch.full((8,), label), reduction="none"
        )
        domains = domains + (sure / sure.mean() * each).mean()
    torch.testing.assert_close(losses["domains"], domains)
