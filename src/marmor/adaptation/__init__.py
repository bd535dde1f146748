"""From labelled images of one place to a classifier for another: alignment, selection, the guard."""

from marmor.adaptation.discrepancies import coral, mmd
from marmor.adaptation.guard import CollapseGuard, Signs
from marmor.adaptation.reversal import reverse_gradient
from marmor.adaptation.schedules import adversarial_weight, annealed_rate
from marmor.adaptation.selection import Candidate, choose, sound
from marmor.adaptation.validators import (
    agreement_where_surest,
    balance,
    certainty,
    information,
    neighbourhood_density,
    shared_information,
    source_accuracy,
)

__all__ = [
    "Candidate",
    "CollapseGuard",
    "Signs",
    "adversarial_weight",
    "agreement_where_surest",
    "annealed_rate",
    "balance",
    "certainty",
    "choose",
    "coral",
    "information",
    "mmd",
    "neighbourhood_density",
    "reverse_gradient",
    "shared_information",
    "sound",
    "source_accuracy",
]
