"""What a method of adaptation is: one loss over a labelled batch and an unlabelled one."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Losses = dict[str, Tensor]


class Classifier(Protocol):
    """A network with one vector of features before its last layer."""

    def features(self, x: Tensor) -> Tensor: ...

    def logits(self, features: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Seen:
    """What a method sees of one step. Of the target it sees images, never labels.

    ``source``, ``target``: float (B, C, H, W) in about [-1, 1]; ``strong``: the same target images
    augmented once more, harder; ``labels``: int64 (B,).
    ``progress``: steps done over steps planned, in [0, 1].
    ``strength``: a factor on all that is not the labelled loss; a guard lowers it.
    ``kept``: what dropout leaves of the features that labels or pseudo-labels are learned with, factors
    (B, D) (Srivastava et al. 2014); None for all of them.
    """

    source: Tensor
    labels: Tensor
    target: Tensor
    strong: Tensor
    progress: float
    strength: float = 1.0
    kept: Tensor | None = None

    def left(self, features: Tensor) -> Tensor:
        """What dropout leaves of features (B, D)."""
        return features if self.kept is None else features * self.kept


class Method(ABC):
    """One way to adapt; holds settings, never weights."""

    source_free = False
    """Whether the loss reads no source images, so that ``strength`` would scale it as a whole."""

    def opponent(self, features: int, classes: int) -> nn.Module | None:
        """A network of its own that learns beside the classifier, or None."""
        return None

    @abstractmethod
    def update(
        self, classifier: Classifier, opponent: nn.Module | None, teacher: Classifier, seen: Seen
    ) -> Losses:
        """Scalars by name; ``"loss"`` is minimised over classifier and opponent together.

        ``teacher`` is the average of the classifier's weights; no gradient enters it.
        """


def labelled_loss(classifier: Classifier, seen: Seen) -> tuple[Tensor, Tensor]:
    """Cross-entropy on the source, of the features that dropout leaves, and all of its features."""
    features = classifier.features(seen.source)
    return F.cross_entropy(classifier.logits(seen.left(features)), seen.labels), features


def perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """One hidden layer."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def adversarial_losses(labelled: Tensor, scores: Tensor, weights: Tensor | None = None) -> Losses:
    """The labelled loss and that of telling domains apart, added, with how often that is right.

    Of ``scores`` the first half is source; the domain loss is the source's mean and the target's mean,
    added (Ganin et al. 2016, eq. 9), of images that count by ``weights`` (2B,).
    (2B, 1): binary cross-entropy on one unit; (2B, 2): cross-entropy on two.
    """
    is_target = torch.arange(len(scores), device=scores.device) >= len(scores) // 2
    if scores.shape[1] == 1:
        said = scores[:, 0] > 0
        each = F.binary_cross_entropy_with_logits(
            scores[:, 0], is_target.to(scores.dtype), reduction="none"
        )
    else:
        said = scores.argmax(1) == 1
        each = F.cross_entropy(scores, is_target.long(), reduction="none")
    domains = 2 * (each if weights is None else weights * each).mean()
    return {
        "loss": labelled + domains,
        "labelled": labelled,
        "domains": domains,
        "domain_accuracy": (said == is_target).float().mean(),
    }
