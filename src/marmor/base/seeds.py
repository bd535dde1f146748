"""Explicit randomness: every stream is derived from (seed, purpose, indices).

The same words give the same stream on every machine and in every order of use, so that a resumed
run, another batch size or another number of processes draws what the first one drew.
"""

import hashlib

import numpy as np
import torch


def derive(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose, e.g. ``derive(0, "sample", digit, index)``."""
    text = "/".join([str(seed), *map(str, purpose)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def torch_stream(seed: int, *purpose: str | int) -> torch.Generator:
    """A CPU ``torch.Generator`` for one purpose."""
    return torch.Generator().manual_seed(derive(seed, *purpose))


def numpy_stream(seed: int, *purpose: str | int) -> np.random.Generator:
    """A numpy ``Generator`` for one purpose."""
    return np.random.default_rng(derive(seed, *purpose))
