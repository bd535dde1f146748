"""Measurement: features and class indices in, small records of float64 numbers out."""

from marmor.metrics.agreement import (
    Agreement,
    Share,
    agreement,
    apart,
    share,
    share_difference,
)
from marmor.metrics.calibration import Bin, Calibration, calibration
from marmor.metrics.copying import closer_share
from marmor.metrics.faces import ENLARGED, can_detect, check_detector, count_faces
from marmor.metrics.frechet import (
    FrechetDistances,
    frechet_distance,
    frechet_distances,
    frechet_floor,
)
from marmor.metrics.kernel import kernel_distance
from marmor.metrics.leaks import Leaks, leaks, located, photo_leak
from marmor.metrics.manifold import Manifold, manifold
from marmor.metrics.means import Mean, mean, mean_within
from marmor.metrics.neighbours import Neighbours, nearest
from marmor.metrics.objects import (
    ObjectScores,
    all_shown,
    any_shown,
    object_answers,
    object_scores,
)
from marmor.metrics.ranking import ranks, top
from marmor.metrics.splits import LEAST, Figure, difference, figures
from marmor.metrics.statistics import Gaussian, gaussian

__all__ = [
    "ENLARGED",
    "LEAST",
    "Agreement",
    "Bin",
    "Calibration",
    "Figure",
    "FrechetDistances",
    "Gaussian",
    "Leaks",
    "Manifold",
    "Mean",
    "Neighbours",
    "ObjectScores",
    "Share",
    "agreement",
    "all_shown",
    "any_shown",
    "apart",
    "calibration",
    "can_detect",
    "check_detector",
    "closer_share",
    "count_faces",
    "difference",
    "figures",
    "frechet_distance",
    "frechet_distances",
    "frechet_floor",
    "gaussian",
    "kernel_distance",
    "leaks",
    "located",
    "manifold",
    "mean",
    "mean_within",
    "nearest",
    "object_answers",
    "object_scores",
    "photo_leak",
    "ranks",
    "share",
    "share_difference",
    "top",
]
