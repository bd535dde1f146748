"""What a set of features is reduced to: its mean and covariance."""

from typing import NamedTuple

import torch
from torch import Tensor


class Gaussian(NamedTuple):
    """Float64 on the CPU: ``mean`` (D,), ``covariance`` (D, D), of ``count`` samples."""

    mean: Tensor
    covariance: Tensor
    count: int


def gaussian(features: Tensor) -> Gaussian:
    """Mean and unbiased covariance (divided by N - 1) of features (N, D), any dtype and device.

    Raises ValueError for another shape and for fewer than 2 samples, which have no covariance.
    """
    if features.ndim != 2:
        raise ValueError(f"features must have shape (samples, D), not {tuple(features.shape)}")
    count = len(features)
    if count < 2:
        raise ValueError(f"a covariance needs at least 2 samples, not {count}")
    features = features.detach().cpu().to(torch.float64)
    mean = features.mean(0)
    centred = features - mean
    return Gaussian(mean, centred.T @ centred / (count - 1), count)
