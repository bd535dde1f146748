"""Time in [0, 1] as steps of a table."""

import torch
from torch import Tensor

NEAR = 1e-3


def steps_at(t: Tensor, steps: int) -> Tensor:
    """t·steps, the same dtype; what rounding leaves of a whole number is made whole.

    A float32 holds k/steps up to 6e-8 of itself: step 999 of 1000 would come back as 999.00001, beyond
    the last step but one.
    """
    at = t * steps
    whole = at.round()
    return torch.where((at - whole).abs() < NEAR, whole, at)
