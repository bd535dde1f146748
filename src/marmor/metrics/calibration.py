"""Does a classifier know how sure it may be?"""

from typing import NamedTuple

from torch import Tensor

from marmor.metrics.agreement import Share, share

BINS = 15


class Bin(NamedTuple):
    """Answers of like confidence: how confident on average, and how often right, with its 95 % interval."""

    confidence: float
    accuracy: Share


class Calibration(NamedTuple):
    """``error`` in [0, 1]: the mean distance of confidence from accuracy; ``bins`` that hold answers."""

    error: float
    bins: tuple[Bin, ...]


def calibration(confidence: Tensor, right: Tensor) -> Calibration:
    """The expected calibration error over 15 equal bins (Guo et al. 2017), weighed by their answers.

    ``confidence``: (N,) in [0, 1], the probability of the class read; ``right``: bool (N,). Of few answers
    the error is too large, since chance alone moves bins apart. Raises ValueError for other shapes, ranges,
    and no answers.
    """
    confidence = confidence.double()
    if confidence.ndim != 1 or confidence.shape != right.shape or not len(right):
        raise ValueError(
            f"confidence and right must be vectors of one length, not {tuple(confidence.shape)} and "
            f"{tuple(right.shape)}"
        )
    if not 0 <= float(confidence.min()) <= float(confidence.max()) <= 1:
        raise ValueError("confidences must lie in [0, 1]")
    # Bins are open below and closed above, so that a sure answer lies in the last one.
    places = (confidence * BINS).ceil().long().clamp(min=1) - 1
    bins = []
    for place in range(BINS):
        inside = places == place
        if inside.any():
            hits = share(int(right[inside].sum()), int(inside.sum()))
            bins.append(Bin(confidence[inside].mean().item(), hits))
    gaps = [each.accuracy.count * abs(each.accuracy.value - each.confidence) for each in bins]
    return Calibration(sum(gaps) / len(right), tuple(bins))
