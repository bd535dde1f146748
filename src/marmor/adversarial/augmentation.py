"""Augmentation that gradients pass through: the critic sees only changed images, real and generated alike.

DiffAugment (Zhao et al. 2020): brightness, saturation and contrast, translation, a cut-out square. Each is
done to an image with a probability (Karras et al. 2020, ADA), so that the generator need not learn to draw
the changes.
"""

import torch
from torch import Tensor

DRAWS = 10
"""Uniform random numbers that one image needs."""
SHIFT = 0.125
CUT = 0.5


def augment(images: Tensor, draws: Tensor, strength: Tensor) -> Tensor:
    """Images (B, C, H, W) in [-1, 1], draws (B, DRAWS) in [0, 1), strength (B,) in [0, 1] → (B, C, H, W).

    ``strength`` is the probability of each of the three changes.
    """
    done = (draws[:, :3] < strength[:, None]).to(images.dtype)[..., None, None, None]
    numbers = draws[:, 3:, None, None, None].to(images.dtype).unbind(1)
    x = torch.lerp(images, _colours(images, *numbers[:3]), done[:, 0])
    x = torch.where(done[:, 1].bool(), _moved(x, draws[:, 6:8]), x)
    return x * (1 - done[:, 2] * _square(x, draws[:, 8:10]))


def _colours(x: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    x = x + brightness - 0.5
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * 2 * saturation
    middle = x.mean((1, 2, 3), keepdim=True)
    return middle + (x - middle) * (contrast + 0.5)


def _moved(x: Tensor, draws: Tensor) -> Tensor:
    """Shifted by whole pixels, up to an eighth of the side; what comes in is black."""
    height, width = x.shape[2:]
    reach = torch.tensor([height, width], device=x.device) * SHIFT
    shift = (draws * (2 * reach + 1) - reach - 0.5).round()
    rows, columns = (
        torch.arange(side, device=x.device) + shift[:, axis, None]
        for axis, side in enumerate((height, width))
    )
    inside = _within(rows, height)[:, :, None] & _within(columns, width)[:, None]
    places = (
        rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None]
    ).long()
    moved = x.flatten(2).gather(2, places.flatten(1)[:, None].expand(-1, x.shape[1], -1)).view_as(x)
    return torch.where(inside[:, None], moved, -1.0)


def _within(places: Tensor, side: int) -> Tensor:
    return (places >= 0) & (places < side)


def _square(x: Tensor, draws: Tensor) -> Tensor:
    """1 within a square of half the side around a random place, 0 elsewhere, (B, 1, H, W)."""
    marks = []
    for axis, side in enumerate(x.shape[2:]):
        long = round(side * CUT)
        first = (draws[:, axis, None] * side).floor() - long // 2
        along = torch.arange(side, device=x.device) - first
        marks.append(_within(along, long).to(x.dtype))
    return (marks[0][:, :, None] * marks[1][:, None])[:, None]
