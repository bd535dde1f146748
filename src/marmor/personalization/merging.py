"""Custom Diffusion's merge: one projection that answers each concept's words as the concept's own did.

Kumari et al. 2023, section 3.2. The key and value projections of all cross-attention layers read the same
text features, so what follows from the features alone is worked out once.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from marmor.base.errors import UserError

RIDGE = 1e-6
"""What is added to the diagonal of a singular C, as a share of the mean of that diagonal."""


@dataclass(frozen=True)
class Constraints:
    """Where merged projections must answer as the concepts' own did.

    Args:
        inputs: Kt, float64 (M, D): text features of the concepts' words.
        lift: (Kt C⁻¹ Ktᵀ)⁻¹ Kt C⁻¹, float64 (M, D).
        rank: independent rows of Kt; below M some repeat or contradict each other.
        ridge: what was added to C's diagonal; 0 where C had its inverse.
    """

    inputs: Tensor
    lift: Tensor
    rank: int
    ridge: float


@dataclass(frozen=True)
class Merged:
    """A merged projection.

    Args:
        weight: (O, D), of the type of the weight before.
        residual: ‖W Ktᵀ − Vtᵀ‖ / ‖Vt‖ of this weight, as rounded to its type; near 0 where the
            constraints are met.
    """

    weight: Tensor
    residual: float


def constrain(regular: Tensor, inputs: Tensor) -> Constraints:
    """The constraints at ``inputs`` Kt (M, D), with as little change as may be at ``regular`` K (N, D).

    With C = L Lᵀ and B = L⁻¹ Ktᵀ the lift is B⁺ L⁻¹; the pseudo-inverse also serves repeated rows. Raises
    UserError where K is empty or zero, and where a feature is no finite number.
    """
    K, Kt = regular.double(), inputs.double()
    if not (K.isfinite().all() and Kt.isfinite().all()):
        raise UserError("text features for the merge are not finite; use float32 models.")
    C = K.T @ K
    ridge = _ridge(C)
    L = torch.linalg.cholesky(C + ridge * torch.eye(len(C), dtype=C.dtype, device=C.device))
    B = torch.linalg.solve_triangular(L, Kt.T, upper=False)
    lift = torch.linalg.solve_triangular(L, torch.linalg.pinv(B), upper=False, left=False)
    return Constraints(Kt, lift, int(torch.linalg.matrix_rank(B)), ridge)


def merge(weight: Tensor, values: Tensor, constraints: Constraints) -> Merged:
    """W = W0 + (Vtᵀ − W0 Ktᵀ)(Kt C⁻¹ Ktᵀ)⁻¹ Kt C⁻¹ of ``weight`` W0 (O, D) and ``values`` Vt (M, O).

    The W that minimises ‖(W − W0) Kᵀ‖², with a ridge ‖(W − W0) Kᵀ‖² + ridge ‖W − W0‖², among those with
    W Ktᵀ = Vtᵀ. Where rows of Kt depend on each other and Vt contradicts that, nothing meets all of them;
    the residual tells.
    """
    W0, Vt = weight.double(), values.double()
    W = (W0 + (Vt.T - W0 @ constraints.inputs.T) @ constraints.lift).to(weight.dtype)
    missed = W.double() @ constraints.inputs.T - Vt.T
    size = Vt.norm().clamp(min=torch.finfo(Vt.dtype).tiny)
    return Merged(W, (missed.norm() / size).item())


def _ridge(C: Tensor) -> float:
    """0 where C (D, D) has an inverse in its number format."""
    spectrum = torch.linalg.eigvalsh(C)
    least, most = spectrum[0].item(), spectrum[-1].item()
    if most <= 0:
        raise UserError(
            "the merge needs text features that should stay as they are; give captions."
        )
    singular = least <= len(C) * torch.finfo(C.dtype).eps * most
    return RIDGE * C.diagonal().mean().item() if singular else 0.0
