"""Fidelity and variety apart: how far two sets of features cover each other's neighbourhoods."""

from typing import NamedTuple

import torch
from torch import Tensor

PRECISION_NEIGHBOURS = 3
"""k of precision and recall (Kynkäänniemi et al. 2019, section 3)."""
DENSITY_NEIGHBOURS = 5
"""k of density and coverage (Naeem et al. 2020, section 4)."""
ROWS = 2048


class Manifold(NamedTuple):
    """``precision``, ``recall``, ``coverage`` in [0, 1]; ``density`` from 0, about 1 for one distribution."""

    precision: float
    recall: float
    density: float
    coverage: float


def manifold(generated: Tensor, real: Tensor) -> Manifold:
    """How much of the one lies in the neighbourhoods of the other, features (N, D) and (M, D).

    ``precision``: the share of generated samples that lie in a ball of some real one, whose radius is the
    distance to its k-th nearest real neighbour; ``recall``: the share of real ones within balls of generated
    ones (Kynkäänniemi et al. 2019, eq. 1 and 2). ``density``: in how many balls of real samples a generated
    one lies, divided by k; ``coverage``: the share of real balls that hold a generated sample (Naeem et al.
    2020, eq. 4 and 5). All of them depend on the numbers of samples: compare equal ones.

    Distances are Euclidean, in float64. Raises ValueError where the dimensions differ and for fewer than six
    samples on a side.
    """
    if generated.ndim != 2 or real.ndim != 2 or generated.shape[1] != real.shape[1]:
        raise ValueError(
            f"features of one dimension are compared, not {tuple(generated.shape)} and {tuple(real.shape)}"
        )
    least = 1 + max(PRECISION_NEIGHBOURS, DENSITY_NEIGHBOURS)
    if min(len(generated), len(real)) < least:
        raise ValueError(f"{least} samples a side are needed, not {len(generated)} and {len(real)}")
    generated, real = generated.double(), real.double()
    near, wide = _radii(real, (PRECISION_NEIGHBOURS, DENSITY_NEIGHBOURS))
    [own] = _radii(generated, (PRECISION_NEIGHBOURS,))
    precise, inside = 0, 0
    recalled, covered = torch.zeros(2, len(real), dtype=torch.bool, device=real.device)
    for rows, radii in zip(generated.split(ROWS), own.split(ROWS), strict=True):
        apart = torch.cdist(rows, real)
        within = apart <= wide
        precise += int((apart <= near).any(1).sum())
        inside += int(within.sum())
        recalled |= (apart <= radii[:, None]).any(0)
        covered |= within.any(0)
    return Manifold(
        precision=precise / len(generated),
        recall=_share(recalled),
        density=inside / (DENSITY_NEIGHBOURS * len(generated)),
        coverage=_share(covered),
    )


def _radii(x: Tensor, neighbours: tuple[int, ...]) -> list[Tensor]:
    """Of each sample the distances to its k-th nearest other, (N,) for each k."""
    kept = max(neighbours) + 1  # the nearest of all is the sample itself
    found = [torch.cdist(rows, x).topk(kept, largest=False).values for rows in x.split(ROWS)]
    nearest = torch.cat(found)
    return [nearest[:, k] for k in neighbours]


def _share(hits: Tensor) -> float:
    return hits.double().mean().item()
