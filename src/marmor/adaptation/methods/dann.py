"""Domain-adversarial training: features that a domain classifier cannot tell apart."""

from dataclasses import dataclass

import torch
from torch import nn

from marmor.adaptation.entropy import entropy
from marmor.adaptation.methods.base import (
    Classifier,
    Losses,
    Method,
    Seen,
    adversarial_losses,
    labelled_loss,
    perceptron,
)
from marmor.adaptation.reversal import reverse_gradient
from marmor.adaptation.schedules import adversarial_weight


@dataclass(frozen=True)
class Dann(Method):
    """DANN (Ganin et al. 2016, eq. 9 to 15): labels + domains through a reversed gradient.

    The weight on the reversed gradient follows ``adversarial_weight``. The domain classifier is a
    perceptron of ``hidden`` units that ends in one unit, or two (``units``). The paper's networks are others,
    without BatchNorm, which source and target pass here one after the other, and its batches are half as
    large.
    """

    hidden: int = 100
    units: int = 1

    def opponent(self, features: int, classes: int) -> nn.Module:
        return perceptron(features, self.hidden, self.units)

    def update(
        self, classifier: Classifier, opponent: nn.Module | None, teacher: Classifier, seen: Seen
    ) -> Losses:
        assert opponent is not None
        labelled, source = labelled_loss(classifier, seen)
        both = torch.cat([source, classifier.features(seen.target)])
        weight = seen.strength * adversarial_weight(seen.progress)
        return adversarial_losses(labelled, opponent(reverse_gradient(both, weight)))


@dataclass(frozen=True)
class Cdan(Method):
    """CDAN+E (Long et al. 2018, eq. 3 and 8): the domain classifier sees features times predictions.

    Images count by 1 + exp(−entropy) of their prediction, so that sure ones align first. No gradient
    passes through predictions; the domain classifier has one hidden layer.
    """

    hidden: int = 256

    def opponent(self, features: int, classes: int) -> nn.Module:
        return perceptron(features * classes, self.hidden, 1)

    def update(
        self, classifier: Classifier, opponent: nn.Module | None, teacher: Classifier, seen: Seen
    ) -> Losses:
        assert opponent is not None
        labelled, source = labelled_loss(classifier, seen)
        both = torch.cat([source, classifier.features(seen.target)])
        predictions = classifier.logits(both).float().softmax(1).detach()
        joint = (both[:, :, None] * predictions[:, None, :]).flatten(1)
        weight = seen.strength * adversarial_weight(seen.progress)
        sure = 1 + torch.exp(-entropy(predictions))
        weights = torch.cat([part / part.mean() for part in sure.chunk(2)])
        return adversarial_losses(labelled, opponent(reverse_gradient(joint, weight)), weights)
