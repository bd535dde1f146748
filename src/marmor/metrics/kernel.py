"""The kernel distance between two sets of features: unbiased, whatever their number."""

from torch import Tensor

ROWS = 2048  # a block of 2048 x 2048 float64 products takes 32 MiB


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """The unbiased estimate of MMD² with the kernel (x·y / D + 1)³, on all pairs.

    Bińkowski et al. 2018, eq. 4 and section 4.1 (KID). Its expectation is 0 for two samples of one
    distribution, so it may come out negative. Features (N, D) and (M, D), any dtype; computed in float64.
    Raises ValueError where the dimensions differ and for fewer than 2 samples on a side.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(
            f"features of one dimension are compared, not {tuple(a.shape)} and {tuple(b.shape)}"
        )
    if min(len(a), len(b)) < 2:
        raise ValueError(f"2 samples a side are needed, not {len(a)} and {len(b)}")
    a, b = a.double(), b.double()
    return _within(a) + _within(b) - 2 * _sum(a, b) / (len(a) * len(b))


def _within(x: Tensor) -> float:
    """The mean of the kernel over all pairs of two different samples."""
    diagonal = (x.square().mean(1) + 1).pow(3).sum().item()
    return (_sum(x, x) - diagonal) / (len(x) * (len(x) - 1))


def _sum(a: Tensor, b: Tensor) -> float:
    total = 0.0
    for rows in a.split(ROWS):
        for columns in b.split(ROWS):
            total += (rows @ columns.T / a.shape[1] + 1).pow(3).sum().item()
    return total
