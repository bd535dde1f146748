"""Methods that learn from their own sure answers on the target."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from marmor.adaptation.entropy import entropy
from marmor.adaptation.methods.base import Classifier, Losses, Method, Seen, labelled_loss


@dataclass(frozen=True)
class MeanTeacher(Method):
    """Self-ensembling (French et al. 2018): answer a hard view as the average does an easy one.

    Squared differences of probabilities, summed over classes, where the teacher is surer than
    ``confidence``, and a balance of classes: the mean answer should say every class (section 3.4
    there; here it counts whether the teacher is sure or not).
    """

    weight: float = 3.0
    confidence: float = 0.9
    balance: float = 0.05

    def update(
        self, classifier: Classifier, opponent: nn.Module | None, teacher: Classifier, seen: Seen
    ) -> Losses:
        labelled, _ = labelled_loss(classifier, seen)
        taught = answers(teacher, seen.target)
        said = classifier.logits(classifier.features(seen.strong)).float().softmax(1)
        sure = (taught.amax(1) > self.confidence).float()
        apart = ((said - taught).square().sum(1) * sure).mean()
        mean = said.mean(0)
        uneven = -(mean + 1e-6).log().mean() - math.log(len(mean))
        extra = self.weight * (apart + self.balance * uneven)
        return {
            "loss": labelled + seen.strength * extra,
            "labelled": labelled,
            "consistency": apart,
            "sure": sure.mean(),
        }


@dataclass(frozen=True)
class AdaMatch(Method):
    """AdaMatch (Berthelot et al. 2022): pseudo-labels with aligned classes and a relative threshold.

    The target's answers are scaled so that their mean over the batch is that of the source's; a
    pseudo-label counts where it is surer than ``confidence`` times the mean sureness on the source.
    Pseudo-labels are the average's; there is one view of the source and no interpolation of logits.

    For a target known to show its classes as often as the source does, more ``rounds`` of scaling give
    every class its share of the pseudo-labels (Sinkhorn & Knopp 1967, as Asano et al. 2020 label with it),
    and ``balance`` weighs the divergence from the source's shares to those that the hard views are given.
    """

    weight: float = 1.0
    confidence: float = 0.9
    rounds: int = 1
    balance: float = 0.0

    def update(
        self, classifier: Classifier, opponent: nn.Module | None, teacher: Classifier, seen: Seen
    ) -> Losses:
        labelled, features = labelled_loss(classifier, seen)
        source = classifier.logits(features).detach().float().softmax(1)
        shares = source.mean(0)
        surest, pseudo = aligned(answers(teacher, seen.target), shares, self.rounds).max(1)
        sure = (surest > self.confidence * source.amax(1).mean()).float()
        hard = classifier.logits(classifier.features(seen.strong)).float()
        learned = (F.cross_entropy(hard, pseudo, reduction="none") * sure).mean()
        given = hard.softmax(1).mean(0).clamp(min=1e-6)
        uneven = (shares * (shares.clamp(min=1e-6) / given).log()).sum()
        ramp = 0.5 * (1 - math.cos(math.pi * min(1.0, 2 * seen.progress)))
        extra = learned + self.balance * uneven
        return {
            "loss": labelled + seen.strength * self.weight * ramp * extra,
            "labelled": labelled,
            "pseudo": learned,
            "uneven": uneven,
            "sure": sure.mean(),
        }


@dataclass(frozen=True)
class Shot(Method):
    """SHOT (Liang et al. 2020): no source images; sure and balanced answers, and pseudo-labels.

    Information maximisation on the easy view (eq. 3 there), and cross-entropy of the hard view with the
    teacher's answer in place of the clusters of eq. 5 and 6. Starts from a network trained on the source;
    its last layer learns too.
    """

    source_free = True
    pseudo: float = 0.3

    def update(
        self, classifier: Classifier, opponent: nn.Module | None, teacher: Classifier, seen: Seen
    ) -> Losses:
        losses = uninformed(classifier, teacher, seen, self.pseudo)
        return losses | {"loss": seen.strength * losses["loss"]}


@dataclass(frozen=True)
class InfoMax(Method):
    """The source's labels and, beside them, what ``Shot`` learns from the target.

    Information maximisation with labelled data at hand (Bridle et al. 1991; Shi & Sha 2012). The easy view
    itself is learned from, not only its hard companion: a network that sees the target in training only
    when it is distorted reads the target as it is less well. Ramps up over the first fifth.
    """

    weight: float = 1.0
    pseudo: float = 0.3

    def update(
        self, classifier: Classifier, opponent: nn.Module | None, teacher: Classifier, seen: Seen
    ) -> Losses:
        labelled, _ = labelled_loss(classifier, seen)
        losses = uninformed(classifier, teacher, seen, self.pseudo)
        weight = seen.strength * self.weight * min(1.0, seen.progress / 0.2)
        return losses | {"loss": labelled + weight * losses["loss"], "labelled": labelled}


@dataclass(frozen=True)
class Refining(Method):
    """An adapted network goes on, on the target alone, with what it answers for labels (Lee 2013).

    Cross-entropy of the hard view, of the features that dropout leaves, with the teacher's answer to the easy
    view, so that answers are mended as the network learns; and, ``information`` times, minus the information
    of the hard view's answers (SHOT, Liang et al. 2020, eq. 3).
    """

    source_free = True
    information: float = 0.5

    def update(
        self, classifier: Classifier, opponent: nn.Module | None, teacher: Classifier, seen: Seen
    ) -> Losses:
        features = classifier.features(seen.strong)
        taught = answers(teacher, seen.target).argmax(1)
        learned = F.cross_entropy(classifier.logits(seen.left(features)), taught)
        unsure, balance = entropies(classifier.logits(features))
        loss = learned + self.information * (unsure - balance)
        return {
            "loss": seen.strength * loss,
            "pseudo": learned,
            "unsure": unsure,
            "balance": balance,
        }


def uninformed(classifier: Classifier, teacher: Classifier, seen: Seen, pseudo: float) -> Losses:
    """How little the answers say: minus the easy view's information (SHOT, Liang et al. 2020, eq. 3).

    And, ``pseudo`` times, the hard view's cross-entropy with the teacher's answer.
    """
    unsure, balance = entropies(classifier.logits(classifier.features(seen.target)))
    taught = answers(teacher, seen.target).argmax(1)
    hard = F.cross_entropy(classifier.logits(classifier.features(seen.strong)), taught)
    loss = unsure - balance + pseudo * hard
    return {"loss": loss, "unsure": unsure, "balance": balance, "pseudo": hard}


def entropies(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Of answers (B, classes): their mean entropy, and the entropy of their mean, in nats.

    The second less the first is the information of the answers.
    """
    said = logits.float().softmax(1)
    return entropy(said).mean(), entropy(said.mean(0))


def aligned(probabilities: Tensor, shares: Tensor, rounds: int) -> Tensor:
    """Probabilities (B, classes), scaled by class until their mean is nearly ``shares`` (classes,)."""
    for _ in range(rounds):
        probabilities = probabilities * (shares / probabilities.mean(0).clamp(min=1e-6))
        probabilities = probabilities / probabilities.sum(1, keepdim=True)
    return probabilities


@torch.no_grad()
def answers(teacher: Classifier, images: Tensor) -> Tensor:
    """The teacher's probabilities (B, classes)."""
    return teacher.logits(teacher.features(images)).float().softmax(1)
