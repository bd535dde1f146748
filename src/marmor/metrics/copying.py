"""Has a generator learned its training images by heart?"""

import torch
from torch import Tensor


def closer_share(samples: Tensor, held_out: Tensor) -> float:
    """How often a sample lies closer to the training images than an image does that training never saw.

    Both hold distances to the nearest training image, (N,) and (M,). The share over all pairs, equals counted
    half (the statistic of Mann & Whitney 1947, as Meehan et al. 2020 use it): 0.5 for samples as far away as
    other real images, 1 for copies, below 0.5 for samples that resemble no image. Raises ValueError for an
    empty side.
    """
    if not len(samples) or not len(held_out):
        raise ValueError("there must be distances on both sides")
    ordered = held_out.sort().values
    below = torch.searchsorted(ordered, samples, right=False)
    up_to = torch.searchsorted(ordered, samples, right=True)
    closer = len(ordered) - (below + up_to).double() / 2
    return (closer / len(ordered)).mean().item()
