"""Entropy, which scores and losses of adaptation are made of."""

import torch
from torch import Tensor


def entropy(p: Tensor) -> Tensor:
    """Of distributions along the last dimension, in nats; 0·log 0 is 0."""
    return -torch.special.xlogy(p, p).sum(-1)
