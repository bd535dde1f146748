"""Ways between two noises."""

import torch
from torch import Tensor

PARALLEL = 1e-6


def lerp(first: Tensor, second: Tensor, share: float) -> Tensor:
    """(1 − share)·first + share·second, the straight way.

    Half-way between two independent noises its norm is 0.71 of theirs, and a denoiser takes what is
    missing for image.
    """
    return torch.lerp(first, second, share)


def slerp(first: Tensor, second: Tensor, share: float) -> Tensor:
    """The way along the great circle (Shoemake 1985; Song et al. 2021, appendix D.5).

    ``first`` and ``second`` are of one shape and taken as one vector each. Equal norms are kept; the
    ends are exact; nearly parallel vectors, and a vector of zeros, go the straight way.
    """
    if share in (0.0, 1.0):
        return second.clone() if share else first.clone()
    if not first.any() or not second.any():
        return lerp(first, second, share)
    one, other = (values.double() / values.double().norm() for values in (first, second))
    angle = torch.atan2((one - other).norm(), (one + other).norm()) * 2
    if torch.sin(angle) < PARALLEL:
        return lerp(first, second, share)
    weights = torch.sin((1 - share) * angle), torch.sin(share * angle)
    mixed = (weights[0] * first.double() + weights[1] * second.double()) / torch.sin(angle)
    return mixed.to(first.dtype)
