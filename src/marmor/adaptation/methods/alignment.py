"""Features whose moments agree, without an opponent."""

from dataclasses import dataclass

from torch import nn

from marmor.adaptation.discrepancies import coral, mmd
from marmor.adaptation.methods.base import Classifier, Losses, Method, Seen, labelled_loss
from marmor.adaptation.schedules import adversarial_weight


@dataclass(frozen=True)
class Coral(Method):
    """Deep CORAL (Sun & Saenko 2016): covariances agree, here of what enters the last layer."""

    weight: float = 100.0

    def update(
        self, classifier: Classifier, opponent: nn.Module | None, teacher: Classifier, seen: Seen
    ) -> Losses:
        labelled, source = labelled_loss(classifier, seen)
        apart = coral(source.float(), classifier.features(seen.target).float())
        loss = labelled + seen.strength * self.weight * apart
        return {"loss": loss, "labelled": labelled, "discrepancy": apart}


@dataclass(frozen=True)
class Mmd(Method):
    """Maximum mean discrepancy of features (DAN, Long et al. 2015), with a ramp.

    Of one layer, under equal kernels as wide as features lie apart on average, times 0.25 to 4.
    """

    weight: float = 1.0

    def update(
        self, classifier: Classifier, opponent: nn.Module | None, teacher: Classifier, seen: Seen
    ) -> Losses:
        labelled, source = labelled_loss(classifier, seen)
        source, target = source.float(), classifier.features(seen.target).float()
        width = (source.detach() - target.detach()).square().sum(1).mean().sqrt().item() + 1e-6
        apart = mmd(source, target, [width * scale for scale in (0.25, 0.5, 1.0, 2.0, 4.0)])
        weight = seen.strength * self.weight * adversarial_weight(seen.progress)
        return {"loss": labelled + weight * apart, "labelled": labelled, "discrepancy": apart}
