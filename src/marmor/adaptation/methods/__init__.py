"""Methods of adaptation, one loss each."""

from marmor.adaptation.methods.alignment import Coral, Mmd
from marmor.adaptation.methods.base import Classifier, Losses, Method, Seen
from marmor.adaptation.methods.dann import Cdan, Dann
from marmor.adaptation.methods.self_training import AdaMatch, InfoMax, MeanTeacher, Refining, Shot
from marmor.adaptation.methods.source_only import SourceOnly

__all__ = [
    "AdaMatch",
    "Cdan",
    "Classifier",
    "Coral",
    "Dann",
    "InfoMax",
    "Losses",
    "MeanTeacher",
    "Method",
    "Mmd",
    "Refining",
    "Seen",
    "Shot",
    "SourceOnly",
]
