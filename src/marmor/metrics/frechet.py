"""The Fréchet distance between two sets of features, and the least a generator can hope for."""

import statistics
from typing import NamedTuple

import torch
from torch import Tensor

from marmor.base.seeds import torch_stream
from marmor.metrics.statistics import Gaussian, gaussian

FEWEST = 8
"""Samples on a side: two in each quarter."""


class FrechetDistances(NamedTuple):
    """``plain``, too large where samples are few, and ``extrapolated`` to infinitely many samples."""

    plain: float
    extrapolated: float


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


def frechet_distances(a: Tensor, b: Tensor) -> FrechetDistances:
    """The distance of features (N, D) and (M, D), as it is and extrapolated to N, M → ∞.

    The distance of finite samples is too large by about a/N + b/N² (Chong & Forsyth 2020, section 3, fit a
    line in 1/N through 15 subsets; with fewer samples than about two for each dimension the line bends). Of
    all samples, halves and quarters of both sets the mean distances are too large by a/N + b/N²,
    2 a/N + 4 b/N² and 4 a/N + 16 b/N²: (8 f₁ − 6 f₂ + f₄) / 3 has neither error, and may come out negative.
    Rows must be in random order. Raises ValueError where the dimensions differ and for fewer than 8 samples
    on a side.
    """
    if a.shape[1:] != b.shape[1:]:
        raise ValueError(
            f"features of one dimension are compared, not {tuple(a.shape)} and {tuple(b.shape)}"
        )
    if min(len(a), len(b)) < FEWEST:
        raise ValueError(f"quarters need {FEWEST} samples a side, not {len(a)} and {len(b)}")
    whole, halves, quarters = (_mean_between(a, b, parts) for parts in (1, 2, 4))
    return FrechetDistances(whole, (8 * whole - 6 * halves + quarters) / 3)


def _mean_between(a: Tensor, b: Tensor, parts: int) -> float:
    """The mean distance of so many parts of a from as many of b."""
    pairs = zip(a.tensor_split(parts), b.tensor_split(parts), strict=True)
    return statistics.fmean(_between(*pair) for pair in pairs)


def _between(a: Tensor, b: Tensor) -> float:
    """The distance of features without their covariances: much faster where there are many dimensions.

    With centred features X = Q·R the covariance is RᵀR / (N − 1), and tr (A B)^½ the sum of the singular
    values of R_a·R_bᵀ.
    """
    (mean_a, root_a), (mean_b, root_b) = _triangle(a), _triangle(b)
    overlap = torch.linalg.svdvals(root_a @ root_b.T).sum()
    traces = root_a.square().sum() + root_b.square().sum()
    return max(0.0, float((mean_a - mean_b).square().sum() + traces - 2 * overlap))


def _triangle(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and a root of the covariance, (min(N, D), D)."""
    features = features.detach().cpu().double()
    mean = features.mean(0)
    root = torch.linalg.qr(features - mean, mode="r").R
    return mean, root / (len(features) - 1) ** 0.5


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
