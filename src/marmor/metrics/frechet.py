"""The Fréchet distance between two sets of features, and the least a generator can hope for."""

import torch
from torch import Tensor

from marmor.base.seeds import torch_stream
from marmor.metrics.statistics import Gaussian, gaussian


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """‖μa − μb‖² + tr(A + B − 2 (A B)^½), never negative: the squared 2-Wasserstein distance.

    Dowson & Landau 1982 for normal distributions; Heusel et al. 2017, eq. 6 for features of images.
    With N samples on a side it is too large by about a constant / N: compare only equal counts.
    Raises ValueError where the dimensions differ.
    """
    if a.mean.shape != b.mean.shape:
        raise ValueError(
            f"features of one dimension are compared, not of {len(a.mean)} and {len(b.mean)}"
        )
    shift = (a.mean - b.mean).square().sum()
    traces = a.covariance.trace() + b.covariance.trace()
    # The eigenvalues of A B are the squared singular values of A^½ B^½. Taking the singular values
    # of the product, not roots of the eigenvalues of A^½ B A^½, spares the root of rounding noise:
    # 1e-14 instead of 1e-6 where there are fewer samples than dimensions.
    overlap = torch.linalg.svdvals(_root(a.covariance) @ _root(b.covariance)).sum()
    return max(0.0, float(shift + traces - 2 * overlap))


def frechet_floor(train: Tensor, test: Tensor, count: int, draws: int, seed: int) -> float:
    """The distance that real images have from real images: what a perfect generator would get.

    The mean over ``draws`` of the distance between ``count`` training features, drawn without
    replacement, and all test features; train (N, D), test (M, D). Give the number of generated
    samples as ``count``: the distance grows by a bias of about 1 / count (Bińkowski et al. 2018,
    appendix D; Chong & Forsyth 2020), and only with the same count is it the same bias on both.
    Raises ValueError for count outside 2 … N or draws below 1.
    """
    if not 2 <= count <= len(train):
        raise ValueError(f"count must lie in 2 … {len(train)} (training features), not at {count}")
    if draws < 1:
        raise ValueError(f"draws must be at least 1, not {draws}")
    held = gaussian(test)
    distances = []
    for draw in range(draws):
        order = torch.randperm(len(train), generator=torch_stream(seed, "frechet floor", draw))
        chosen = order[:count].to(train.device)
        distances.append(frechet_distance(gaussian(train[chosen]), held))
    return sum(distances) / draws


def _root(covariance: Tensor) -> Tensor:
    """The symmetric square root; eigenvalues that rounding made negative count as 0."""
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
