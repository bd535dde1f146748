"""Views of photos: crops, half of them mirrored, never from outside."""

import torch

from marmor.personalization.views import SMALLEST_CROP, views


def stream() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_views_are_crops_within_the_photo_and_half_are_mirrored() -> None:
    side, count = 40, 200
    ramp = torch.linspace(-1, 1, side).expand(count, 2, side, side).clone()
    ramp[:, 1] = ramp[:, 1].transpose(1, 2).clone()
    across, down = views(ramp, stream()).unbind(1)
    width = across[:, 0, -1] - across[:, 0, 0]
    height = down[:, -1, 0] - down[:, 0, 0]
    # Half a pixel at the edge of the photo is its border's.
    assert torch.allclose(width.abs(), height, atol=0.02)
    assert 2 * SMALLEST_CROP - 0.05 < height.min() < 2 * SMALLEST_CROP + 0.05
    assert 1.9 < height.max() <= 2.0001
    assert 0.35 < (width < 0).float().mean() < 0.65
    middles = across.mean((1, 2))
    assert middles.min() < -0.1
    assert middles.max() > 0.1
    # An inner crop has the slope of its own zoom everywhere: nothing was filled in at the border.
    assert (across.diff(dim=2).abs() > 1e-3).float().mean() > 0.95


def test_the_same_stream_gives_the_same_views() -> None:
    images = torch.rand(5, 3, 8, 8, generator=stream())
    assert torch.equal(views(images, stream()), views(images, stream()))


def test_the_whole_photo_is_seen_as_it_is() -> None:
    images = torch.rand(6, 3, 8, 8, generator=stream())
    assert torch.allclose(views(images, stream(), False, 1.0), images, atol=1e-5)
    seen = views(images, stream(), True, 1.0)
    turned = [
        torch.allclose(one, image.flip(2), atol=1e-5)
        for one, image in zip(seen, images, strict=True)
    ]
    assert 0 < sum(turned) < 6
