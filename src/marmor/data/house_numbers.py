"""House numbers: synthetic street digits, colour 32×32, labelled with the digit in the middle.

In the spirit of SYN Numbers (Ganin & Lempitsky 2015, section 4): digits of many typefaces on walls
and plates, turned, slanted and in perspective, with neighbours to the left and right, in low
contrast, uneven light, blurred, noisy and compressed. They stand in for SVHN, which cannot be shipped.

Every number below is a share of something named beside it; all draws are uniform unless said.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from marmor.base.errors import UserError
from marmor.base.pixels import to_bytes
from marmor.base.seeds import torch_stream
from marmor.data.classes import DIGITS
from marmor.data.fonts import CANVAS, DIGIT_HEIGHT, Glyphs, glyphs
from marmor.data.imageset import ImageSet

SIDE = 32
FINE = 2
"""Images are rendered that many times larger and averaged down."""
BLOCK = 500
"""Images that share a stream, so that the k-th image does not depend on how many are made."""

HEIGHT = (0.55, 0.95)
"""Of the digit, in the image's side."""
TURN = 0.2
"""Radians."""
SLANT, STRETCH, PERSPECTIVE = 0.25, 0.15, 0.15
SHIFT = 0.07
"""Of the digit's middle, in half the image's side."""
NEIGHBOUR = 0.6
"""How often a digit stands to the left, and to the right."""
GAP = (0.03, 0.25)
"""Between digits, in heights."""
PLATE, SHADOW = 0.3, 0.3
"""How often the number has a plate, and a shadow."""
CONTRAST = (0.18, 0.8)
"""Between the digit's and its ground's brightness."""
TINT = (0.0, 0.14)
"""Standard deviation of the channels around the brightness."""
LIGHT = 0.25
"""How much brighter one side is lit than the middle."""
TEXTURE = (0.0, 0.12)
"""Standard deviation of each size of blotches."""
BLUR = (0.05, 1.1)
"""Standard deviation in pixels."""
NOISE = (0.0, 0.06)
QUALITY = (35, 95)
"""Of JPEG."""


def make_house_numbers(
    count: int, seed: int, watch: Callable[[float], None] = lambda share: None
) -> ImageSet:
    """``count`` colour images 32×32 with classes "0" … "9", each as likely.

    The same seed gives the same images, the first ones also where more are made. ``watch`` is told
    which share is done. Raises UserError for a count below 1, or where a package of typefaces is not
    installed.
    """
    if count < 1:
        raise UserError(f"{count} house numbers cannot be made; ask for 1 or more.")
    blocks: list[tuple[Tensor, Tensor]] = []
    while BLOCK * len(blocks) < count:
        blocks.append(_block(seed, len(blocks)))
        watch(min(1.0, BLOCK * len(blocks) / count))
    images, digits = (torch.cat(parts)[:count] for parts in zip(*blocks, strict=True))
    note = f"Synthetic house numbers in {len(glyphs().masks)} typefaces, seed {seed}."
    return ImageSet(images, {"class": digits}, {"class": DIGITS}, notes=(note,))


def _block(seed: int, index: int) -> tuple[Tensor, Tensor]:
    """uint8 (BLOCK, 3, SIDE, SIDE) and the digits (BLOCK,)."""
    from torchvision.io import ImageReadMode, decode_jpeg, encode_jpeg  # takes a second to import

    draw = _Draw(torch_stream(seed, "house numbers", index))
    number = _Number(draw, glyphs())
    scene = _painted(draw, number, _plate_places(draw))
    small = F.avg_pool2d(_lit(draw, scene), FINE)
    blurred = _blurred(small, draw.between(*BLUR))
    noisy = blurred + torch.randn(blurred.shape, generator=draw.stream) * draw.each(*NOISE)
    images = to_bytes(noisy * 2 - 1)
    qualities = draw.between(*QUALITY).round().int().tolist()
    compressed = [
        encode_jpeg(image, quality) for image, quality in zip(images, qualities, strict=True)
    ]
    decoded = [decode_jpeg(data, ImageReadMode.RGB) for data in compressed]
    return torch.stack(decoded), number.digits[:, 1]  # pyright: ignore[reportArgumentType]


class _Draw:
    """Random values of a block, one an image."""

    def __init__(self, stream: torch.Generator) -> None:
        self.stream = stream

    def between(self, low: float, high: float) -> Tensor:
        """(BLOCK,)."""
        return low + (high - low) * torch.rand(BLOCK, generator=self.stream)

    def around(self, size: float) -> Tensor:
        return self.between(-size, size)

    def each(self, low: float, high: float) -> Tensor:
        """(BLOCK, 1, 1, 1), to be spread over an image."""
        return self.between(low, high)[:, None, None, None]

    def happens(self, share: float) -> Tensor:
        return torch.rand(BLOCK, generator=self.stream) < share

    def colour(self, brightness: Tensor) -> Tensor:
        """(BLOCK, 3, 1, 1) in [0, 1] around a brightness (BLOCK,)."""
        tint = torch.randn(BLOCK, 3, generator=self.stream) * self.between(*TINT)[:, None]
        return (brightness[:, None] + tint - tint.mean(1, keepdim=True)).clamp(0, 1)[
            ..., None, None
        ]


class _Number:
    """Three digits beside each other; lengths in heights of a digit, the middle one at the origin."""

    def __init__(self, draw: _Draw, drawn: Glyphs) -> None:
        stream = draw.stream
        faces = torch.multinomial(drawn.shares, BLOCK, replacement=True, generator=stream)
        self.digits = torch.randint(10, (BLOCK, 3), generator=stream)
        widths = drawn.widths[faces[:, None], self.digits]
        gap = draw.between(*GAP)[:, None]
        there = torch.stack(
            [draw.happens(NEIGHBOUR), torch.ones(BLOCK, dtype=torch.bool), draw.happens(NEIGHBOUR)],
            dim=1,
        )
        reach = (widths[:, 1:2] + widths) / 2 + gap
        self.middles = reach * torch.tensor([-1.0, 0.0, 1.0])
        self.left = torch.where(
            there[:, 0], self.middles[:, 0] - widths[:, 0] / 2, -widths[:, 1] / 2
        )
        self.right = torch.where(
            there[:, 2], self.middles[:, 2] + widths[:, 2] / 2, widths[:, 1] / 2
        )
        self.masks = drawn.masks[faces[:, None], self.digits] * there[:, :, None, None, None]

    def ink(self, places: Tensor) -> Tensor:
        """How much ink lies at places (BLOCK, H, W, 2) → (BLOCK, 1, H, W) in [0, 1]."""
        found = []
        for k in range(3):
            beside = (
                places - torch.stack([self.middles[:, k], torch.zeros(BLOCK)], 1)[:, None, None]
            )
            grid = beside * (2 * DIGIT_HEIGHT / CANVAS)
            found.append(F.grid_sample(self.masks[:, k], grid, align_corners=False))
        return torch.stack(found).amax(0)

    def plate(self, places: Tensor, margin: Tensor) -> Tensor:
        """Whether places lie on a rectangle around the digits, with soft edges."""
        middle, half = (self.left + self.right) / 2, (self.right - self.left) / 2
        across = half[:, None, None] + margin - (places[..., 0] - middle[:, None, None]).abs()
        along = 0.5 + margin - places[..., 1].abs()
        return (20 * torch.minimum(across, along)).clamp(0, 1)[:, None]


def _plate_places(draw: _Draw) -> Tensor:
    """Where each pixel looks, in heights of a digit from its middle: (BLOCK, H, W, 2)."""
    fine = SIDE * FINE
    across = (torch.arange(fine) + 0.5) / fine * 2 - 1
    y, x = torch.meshgrid(across, across, indexing="ij")
    pixels = torch.stack([x, y, torch.ones_like(x)], dim=-1)
    zoom = 0.5 / draw.between(*HEIGHT)
    turn, slant = draw.around(TURN), draw.around(SLANT)
    stretch = draw.around(STRETCH).exp()
    shift, tilt = (torch.stack([draw.around(s), draw.around(s)], 1) for s in (SHIFT, PERSPECTIVE))
    cosine, sine = turn.cos(), turn.sin()
    rows = [
        torch.stack([cosine * stretch, -sine + slant, shift[:, 0]], 1) * zoom[:, None],
        torch.stack([sine, cosine / stretch, shift[:, 1]], 1) * zoom[:, None],
        torch.stack([tilt[:, 0], tilt[:, 1], torch.ones(BLOCK)], 1),
    ]
    seen = torch.einsum("nij,hwj->nhwi", torch.stack(rows, 1), pixels)
    return seen[..., :2] / seen[..., 2:]


def _painted(draw: _Draw, number: _Number, places: Tensor) -> Tensor:
    """Wall, plate, shadow and digits in colour: (BLOCK, 3, H, W) in [0, 1]."""
    ground = draw.between(0.1, 0.9)
    contrast = draw.between(*CONTRAST)
    brighter = torch.rand(BLOCK, generator=draw.stream) < (1 - ground)
    digit = torch.where(brighter, ground + contrast, ground - contrast).clamp(0, 1)
    # Where there is no room for the contrast on one side, there is on the other.
    squeezed = (digit - ground).abs() < CONTRAST[0]
    digit = torch.where(squeezed, torch.where(brighter, ground - 0.4, ground + 0.4), digit)
    wall = draw.colour(draw.between(0.1, 0.9))
    ground_colour = draw.colour(ground)
    on_plate = number.plate(places, draw.between(0.05, 0.25)[:, None, None])
    has_plate = draw.happens(PLATE)[:, None, None, None]
    scene = torch.where(has_plate, torch.lerp(wall, ground_colour, on_plate), ground_colour)
    scene = scene + _texture(draw)
    offset = torch.stack([draw.around(0.06), draw.around(0.06)], 1)[:, None, None]
    depth = draw.each(0.3, 0.7) * draw.happens(SHADOW)[:, None, None, None]
    scene = scene * (1 - depth * number.ink(places - offset))
    return torch.lerp(scene, draw.colour(digit).expand_as(scene), number.ink(places))


def _texture(draw: _Draw) -> Tensor:
    """Blotches of several sizes, the same in all channels."""
    blotches = [
        F.interpolate(
            torch.randn(BLOCK, 1, cells, cells, generator=draw.stream),
            (SIDE * FINE, SIDE * FINE),
            mode="bilinear",
        )
        * draw.each(*TEXTURE)
        for cells in (3, 9, 27)
    ]
    return torch.stack(blotches).sum(0) / 2


def _lit(draw: _Draw, scene: Tensor) -> Tensor:
    """Brighter to one side."""
    across = torch.linspace(-1, 1, scene.shape[-1])
    slope = draw.each(-LIGHT, LIGHT) * across[:, None] + draw.each(-LIGHT, LIGHT) * across
    return (scene * (1 + slope)).clamp(0, 1)


def _blurred(images: Tensor, deviations: Tensor) -> Tensor:
    """Each image (3, H, W) blurred by a Gaussian of its own deviation, in pixels."""
    reach = math.ceil(3 * BLUR[1])
    offsets = torch.arange(-reach, reach + 1)
    kernels = torch.exp(-0.5 * (offsets / deviations[:, None]) ** 2)
    kernels = (kernels / kernels.sum(1, keepdim=True)).repeat_interleave(3, 0)[:, None]
    count, channels, height, width = images.shape
    flat = F.pad(images, (reach, reach, reach, reach), mode="replicate").reshape(
        1, count * channels, height + 2 * reach, width + 2 * reach
    )
    across = F.conv2d(flat, kernels[:, :, None, :], groups=count * channels)
    both = F.conv2d(across, kernels[:, :, :, None], groups=count * channels)
    return both.reshape(images.shape)
