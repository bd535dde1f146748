"""Measurement: features and class indices in, small records of float64 numbers out."""

from marmor.metrics.agreement import Agreement, Share, agreement, share
from marmor.metrics.faces import can_detect, count_faces
from marmor.metrics.frechet import frechet_distance, frechet_floor
from marmor.metrics.means import Mean, mean
from marmor.metrics.neighbours import Neighbours, nearest
from marmor.metrics.objects import ObjectScores, object_scores
from marmor.metrics.statistics import Gaussian, gaussian

__all__ = [
    "Agreement",
    "Gaussian",
    "Mean",
    "Neighbours",
    "ObjectScores",
    "Share",
    "agreement",
    "can_detect",
    "count_faces",
    "frechet_distance",
    "frechet_floor",
    "gaussian",
    "mean",
    "nearest",
    "object_scores",
    "share",
]
