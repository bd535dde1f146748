"""From where scenes are seen and lit, and which ray belongs to which place of the picture."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

LOOKED_AT = (0.0, 0.15, 0.3)
HALF_FIELD = math.tan(math.radians(18))
"""Half the picture's side at distance 1."""


@dataclass(frozen=True)
class Views:
    """Where each of S scenes is seen and lit from: ``eye`` and ``lamp`` (S, 3), z upward from the table."""

    eye: Tensor
    lamp: Tensor

    def take(self, which: Tensor) -> "Views":
        """Those of the scenes at these places, int64 (M,)."""
        return Views(self.eye[which], self.lamp[which])


def project(points: Tensor, eye: Tensor) -> Tensor:
    """Points (N, 3), seen from eyes (N, 3) → right of and below the middle (N, 2), ±1 at borders."""
    right, up, ahead = _axes(eye)
    apart = points - eye
    depth = (apart * ahead).sum(1) * HALF_FIELD
    return torch.stack([(apart * right).sum(1) / depth, -(apart * up).sum(1) / depth], 1)


def shown_reach(reach: Tensor, centres: Tensor, eye: Tensor) -> Tensor:
    """Radii (N,), in half the picture's side, of balls of radius ``reach`` (N,) about ``centres`` (N, 3)."""
    away = (project(centres, eye).norm(dim=1) * HALF_FIELD).atan()
    wide = (reach / (centres - eye).norm(dim=1)).asin()
    return ((away + wide).tan() - away.tan()) / HALF_FIELD


def rays(eye: Tensor, places: Tensor) -> Tensor:
    """Directions (N, R, 3) of length 1 from eyes (N, 3) through places (N, R, 2) of the picture."""
    right, up, ahead = (axis[:, None] for axis in _axes(eye))
    across, down = places[..., :1] * HALF_FIELD, places[..., 1:] * HALF_FIELD
    return F.normalize(ahead + across * right - down * up, dim=-1)


def _axes(eye: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Right, up and ahead, (N, 3) each."""
    ahead = F.normalize(torch.tensor(LOOKED_AT) - eye, dim=1)
    upright = torch.tensor([0.0, 0.0, 1.0]).expand_as(ahead)
    right = F.normalize(torch.linalg.cross(ahead, upright), dim=1)
    return right, torch.linalg.cross(right, ahead), ahead
