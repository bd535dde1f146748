"""How far two sets of features (N, D) and (M, D) lie apart, differentiable."""

from collections.abc import Sequence

import torch
from torch import Tensor


def coral(source: Tensor, target: Tensor) -> Tensor:
    """‖Cs − Ct‖² / (4 D²) of the covariances (Deep CORAL, Sun & Saenko 2016, eq. 1)."""
    return (source.T.cov() - target.T.cov()).square().sum() / (4 * source.shape[1] ** 2)


def mmd(source: Tensor, target: Tensor, deviations: Sequence[float]) -> Tensor:
    """Squared maximum mean discrepancy under the mean of Gaussian kernels, biased, never negative.

    Gretton et al. 2012, eq. 5, with exp(−‖a − b‖² / (2 s²)) for each s of ``deviations``.
    """
    both = torch.cat([source, target])
    squares = torch.cdist(both, both, compute_mode="donot_use_mm_for_euclid_dist").square()
    kernel = torch.stack([torch.exp(-squares / (2 * s**2)) for s in deviations]).mean(0)
    n = len(source)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()
