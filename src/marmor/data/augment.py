"""Augmentations: what changes an image's look and keeps what it shows."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

ROTATION = 0.2
"""Radians."""
SCALE = 0.1
SHIFT = 0.07
"""Of half the image's side."""
NOISE = 0.1
SHEAR = 0.15
WARP = 0.03
"""Of half the image's side: standard deviation of where the nodes of an elastic warp lie."""
NODES = 5


def mirror(images: Tensor, generator: torch.Generator) -> Tensor:
    """Half of images (B, C, H, W) with left and right changed; not for digits."""
    mirrored = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
    return torch.where(mirrored, images.flip(3), images)


def mirror_and_shift(images: Tensor, generator: torch.Generator) -> Tensor:
    """Half of images (B, C, H, W) mirrored, all moved by up to two pixels; not for digits."""
    images = mirror(images, generator)
    wide = F.pad(images, (2, 2, 2, 2), mode="replicate")
    side = images.shape[2:]
    corners = torch.randint(5, (len(images), 2), generator=generator).tolist()
    moved = [
        image[:, top : top + side[0], left : left + side[1]]
        for image, (top, left) in zip(wide, corners, strict=True)
    ]
    return torch.stack(moved)


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Random affine maps, contrast, brightness and noise, drawn per image.

    Args:
        images: (B, C, H, W) in [-1, 1].
        generator: the stream everything is drawn from.

    Returns images of the same shape; values may leave [-1, 1] slightly.
    """
    draw = _Draw(len(images), generator)
    return _relit(_moved(images, draw, ROTATION, SCALE, SHIFT), draw)


def augment_warped(images: Tensor, generator: torch.Generator) -> Tensor:
    """The same with shear and with a smooth elastic warp (Simard et al. 2003), drawn per image.

    Args:
        images: (B, C, H, W) in [-1, 1].
        generator: the stream everything is drawn from.

    Returns images of the same shape; values may leave [-1, 1] slightly.
    """
    draw = _Draw(len(images), generator)
    return _relit(_moved(images, draw, ROTATION, SCALE, SHIFT, shear=SHEAR, warp=WARP), draw)


def augment_boldly(
    images: Tensor, generator: torch.Generator, widths: tuple[float, float] = (1.0, 1.0)
) -> Tensor:
    """Changes that may lie between two places where digits are found, drawn per image.

    Wider affine maps, negatives (half of the images whole, some of all in single channels; French et
    al. 2018, section 4), contrast and brightness for each channel, another image of the batch shining
    through, blur and noise.

    Args:
        images: (B, C, H, W) in [-1, 1].
        generator: the stream everything is drawn from.
        widths: the narrowest and the widest that an image becomes, as a factor.

    Returns images of the same shape in [-1, 1].
    """
    draw = _Draw(len(images), generator)
    moved = _moved(images, draw, rotation=0.3, scale=0.3, shift=0.15, widths=widths)
    other = moved[torch.randperm(len(moved), generator=generator)].flip(3)
    moved = torch.lerp(moved, other, draw.each(0.0, 0.3) * draw.happens(0.3))
    turned = torch.where(draw.happens(0.5), -1.0, 1.0)
    alone = torch.where(draw.happens(0.3, images.shape[1]) & draw.happens(0.3), -1.0, 1.0)
    gain = draw.each(0.4, 1.4) * draw.each(0.8, 1.2, images.shape[1])
    shifted = moved * turned * alone * gain + draw.each(-0.4, 0.4)
    shifted = shifted + draw.each(-0.15, 0.15, images.shape[1])
    soft = F.avg_pool2d(shifted, 3, stride=1, padding=1, count_include_pad=False)
    softened = torch.lerp(shifted, soft, draw.each(0.0, 1.0) * draw.happens(0.5))
    return (softened + draw.normal(softened) * draw.each(0.0, 0.15)).clamp(-1, 1)


def _relit(images: Tensor, draw: "_Draw") -> Tensor:
    """Another contrast and brightness for each image, and noise."""
    images = images * draw.each(0.7, 1.3) + draw.each(-0.2, 0.2)
    return images + draw.normal(images) * draw.each(0.0, NOISE)


def lay_on_textures(images: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the images on random textures as MNIST-M is made: what is bright turns what lies behind it.

    |ground − image| of values in [0, 1]; grounds have a random colour, soft blotches and grain.

    Args:
        images: (B, C, H, W) in [-1, 1].
        generator: the stream everything is drawn from.

    Returns images of the same shape in [-1, 1].
    """
    draw = _Draw(len(images), generator)
    laid = (_textures(images.shape, draw) - images).abs() - 1
    return torch.where(draw.happens(0.5), laid, images)


class _Draw:
    """Random values, one an image or one a channel of it."""

    def __init__(self, count: int, generator: torch.Generator) -> None:
        self.count = count
        self.generator = generator

    def around(self, *shape: int) -> Tensor:
        """Uniform in [-1, 1), (B, *shape)."""
        return torch.rand((self.count, *shape), generator=self.generator) * 2 - 1

    def each(self, low: float, high: float, channels: int = 1) -> Tensor:
        """Uniform, (B, channels, 1, 1)."""
        values = torch.rand((self.count, channels, 1, 1), generator=self.generator)
        return low + (high - low) * values

    def happens(self, share: float, channels: int = 1) -> Tensor:
        """True as often as ``share``, (B, channels, 1, 1)."""
        return self.each(0.0, 1.0, channels) < share

    def normal(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generator)


def _textures(shape: torch.Size, draw: _Draw) -> Tensor:
    """Grounds of a random colour with soft blotches and grain, (B, C, H, W) in [-1, 1]."""
    channels, side = shape[1], (shape[2], shape[3])

    def field(channels: int, cells: int) -> Tensor:
        coarse = torch.randn((shape[0], channels, cells, cells), generator=draw.generator)
        return F.interpolate(coarse, size=side, mode="bilinear", align_corners=False)

    colour = 0.6 * field(channels, 1) + field(1, 1)
    blotches = draw.each(0.0, 0.5) * field(channels, 3) + draw.each(0.0, 1.5) * field(1, 4)
    grain = draw.each(0.0, 1.2) * field(1, 10) + draw.each(0.0, 0.4) * field(1, side[0])
    return (colour + blotches + grain).sigmoid() * 2 - 1


def _moved(
    images: Tensor,
    draw: _Draw,
    rotation: float,
    scale: float,
    shift: float,
    widths: tuple[float, float] = (1.0, 1.0),
    shear: float = 0.0,
    warp: float = 0.0,
) -> Tensor:
    """Turned by up to ``rotation``, larger or smaller by ``scale``, moved by ``shift``, first made wider.

    Then sheared and stretched by up to ``shear``, and warped, nodes displaced by ``warp`` on average.
    """
    angle, zoom = draw.around() * rotation, 1 + draw.around() * scale
    place = draw.around(2) * shift
    narrowest, widest = map(math.log, widths)
    wide = torch.ones(1)
    if widths != (1.0, 1.0):
        wide = (narrowest + (widest - narrowest) * (draw.around() + 1) / 2).exp()
    rows = torch.stack(
        [
            torch.stack([angle.cos() / zoom / wide, -angle.sin() / zoom / wide, place[:, 0]], 1),
            torch.stack([angle.sin() / zoom, angle.cos() / zoom, place[:, 1]], 1),
        ],
        dim=1,
    )
    if shear:
        slant, stretch = draw.around() * shear, draw.around() * shear / 2
        rows[:, 0, :2] *= 1 + stretch[:, None]
        rows[:, 1, :2] *= 1 - stretch[:, None]
        rows[:, 0, 1] += slant
    grid = F.affine_grid(rows, list(images.shape), align_corners=False)
    if warp:
        nodes = warp * torch.randn((len(images), 2, NODES, NODES), generator=draw.generator)
        smooth = F.interpolate(nodes, size=images.shape[2:], mode="bicubic", align_corners=True)
        grid = grid + smooth.permute(0, 2, 3, 1)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
