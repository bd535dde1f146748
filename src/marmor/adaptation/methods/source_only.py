"""No adaptation: the source's labels alone. What every other method is measured against."""

from torch import nn

from marmor.adaptation.methods.base import Classifier, Losses, Method, Seen, labelled_loss


class SourceOnly(Method):
    """Cross-entropy on the source."""

    def update(
        self, classifier: Classifier, opponent: nn.Module | None, teacher: Classifier, seen: Seen
    ) -> Losses:
        loss, _ = labelled_loss(classifier, seen)
        return {"loss": loss}
