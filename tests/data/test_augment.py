import pytest
import torch

from marmor.base.seeds import torch_stream
from marmor.data.augment import (
    _Draw,
    _moved,
    augment,
    augment_boldly,
    augment_warped,
    lay_on_textures,
    mirror_and_shift,
)


def images(count: int = 64):
    """Bright shapes on dark ground, so that a negative is seen in the mean."""
    x = torch.full((count, 3, 28, 28), -0.8)
    x[:, :, 10:18, 10:18] = 0.8
    return x


@pytest.mark.parametrize("change", [augment, augment_warped, augment_boldly, lay_on_textures])
def test_the_same_stream_gives_the_same_images_and_every_image_another(change):
    first, again = (change(images(), torch_stream(0, "a")) for _ in range(2))
    assert torch.equal(first, again)
    assert first.shape == images().shape
    assert not torch.equal(first, change(images(), torch_stream(1, "a")))
    others = len(torch.unique(first.flatten(1), dim=0))
    assert others == 64 if change is not lay_on_textures else 20 < others < 45


def test_pictures_are_mirrored_and_moved_but_little():
    pictures = torch.rand((8, 3, 32, 32), generator=torch_stream(0, "pictures")) * 2 - 1
    moved = mirror_and_shift(pictures, torch_stream(0, "moved"))
    shifts = [
        (candidate.roll((down, right), (1, 2)) - one)[:, 2:-2, 2:-2].abs().max()
        for picture, one in zip(pictures, moved, strict=True)
        for candidate in (picture, picture.flip(2))
        for down in range(-2, 3)
        for right in range(-2, 3)
    ]
    nearest = torch.stack(shifts).view(8, 50).min(1)
    assert nearest.values.max() == 0
    assert {0, 1} == set((nearest.indices // 25).tolist())
    assert len(set((nearest.indices % 25).tolist())) > 4


def test_textures_lie_behind_half_of_the_images_and_bright_turns_them():
    plain = torch.full((400, 3, 28, 28), -1.0)
    laid = lay_on_textures(plain, torch_stream(0, "ground"))
    on_black = (laid != plain).flatten(1).any(1)
    assert 0.4 < on_black.float().mean() < 0.6
    assert laid.abs().max() <= 1
    assert laid[on_black].std((1, 2, 3)).min() > 0.01
    on_white = lay_on_textures(-plain, torch_stream(0, "ground"))
    assert torch.allclose(on_white[on_black], -laid[on_black], atol=1e-6)


def test_bold_images_stay_in_range_and_half_of_them_are_negatives():
    bold = augment_boldly(images(400), torch_stream(0, "bold"))
    assert bold.abs().max() <= 1
    middle, corner = bold[:, :, 12:16, 12:16].mean((1, 2, 3)), bold[:, :, :3, :3].mean((1, 2, 3))
    assert 0.4 < (middle < corner).float().mean() < 0.6
    mild = augment(images(400), torch_stream(0, "mild"))
    assert (mild[:, :, 12:16, 12:16].mean((1, 2, 3)) > mild[:, :, :3, :3].mean((1, 2, 3))).all()


@pytest.mark.parametrize(("width", "columns"), [(0.5, 4), (1.0, 8), (1.5, 12)])
def test_widths_make_shapes_narrower_and_wider(width, columns):
    line = torch.full((5, 1, 32, 32), -1.0)
    line[:, :, 4:28, 12:20] = 1.0
    draw = _Draw(5, torch_stream(0, "bold"))
    moved = _moved(line, draw, rotation=0.0, scale=0.0, shift=0.0, widths=(width, width))
    middle = moved[:, 0, :, 16 - columns : 16 + columns]
    assert ((middle[:, 16] > 0).sum(1) == columns).all()
    assert ((moved[:, 0, :, 15] > 0).sum(1) == 24).all()
    # What lies beside a narrow image is its mirror image.
    assert (moved[:, 0, 16, 0] > 0).all() == (width < 0.6)


def test_shapes_are_made_narrower_before_they_are_turned():
    """A lying bar, made half as wide and then turned, is half as long along its own axis."""
    bar = torch.full((60, 1, 64, 64), -1.0)
    bar[:, :, 29:35, 12:52] = 1.0
    draw = _Draw(60, torch_stream(0, "bold"))
    moved = (_moved(bar, draw, rotation=1.5, scale=0.0, shift=0.0, widths=(0.5, 0.5)) > 0).float()
    across = torch.arange(64) - 31.5
    near = torch.hypot(across[:, None], across) < 16  # beyond it lie mirror images
    lengths = []
    for image in moved[:, 0] * near:
        points = image.nonzero() - 31.5
        spread = torch.linalg.eigvalsh(points.T @ points / len(points)).sqrt() * 12**0.5
        lengths.append(spread)
    thin, long = torch.stack(lengths).mean(0)
    assert long.item() == pytest.approx(20, abs=1.5)
    assert thin.item() == pytest.approx(6, abs=1)


def test_turned_shapes_lose_as_much_area_as_width():
    across = torch.linspace(-1, 1, 64)
    disc = torch.where(torch.hypot(across[:, None], across) < 0.3, 1.0, -1.0).expand(40, 1, 64, 64)
    draw = _Draw(40, torch_stream(0, "bold"))
    moved = _moved(disc, draw, rotation=1.5, scale=0.0, shift=0.0, widths=(0.8, 0.8))
    area = (moved > 0).float().mean((1, 2, 3)) / (disc > 0).float().mean()
    torch.testing.assert_close(area, torch.full((40,), 0.8), atol=0.05, rtol=0)


def test_shear_slants_and_keeps_the_area_nearly():
    bar = torch.full((200, 1, 64, 64), -1.0)
    bar[:, :, 8:56, 28:36] = 1.0
    draw = _Draw(200, torch_stream(0, "sheared"))
    sheared = _moved(bar, draw, rotation=0.0, scale=0.0, shift=0.0, shear=0.3)
    places = torch.arange(64.0)
    rows = (sheared[:, 0] > 0).float()
    middles = (rows * places).sum(2) / rows.sum(2).clamp(min=1)
    slants = (middles[:, 52] - middles[:, 12]) / 40
    assert 0.2 < slants.abs().max() <= 0.36
    assert slants.abs().mean() == pytest.approx(0.15, abs=0.03)
    area = rows.sum((1, 2)) / (48 * 8)
    assert area.mean() == pytest.approx(1.0, abs=0.05)


def test_a_warp_is_smooth_and_differs_from_place_to_place():
    x = torch.linspace(-1, 1, 64).expand(1, 1, 64, 64).repeat(50, 1, 1, 1)
    draw = _Draw(50, torch_stream(0, "warped"))
    moved = _moved(x, draw, rotation=0.0, scale=0.0, shift=0.0, warp=0.03)
    apart = (moved - x)[:, 0, 8:-8, 8:-8]
    assert apart.std() == pytest.approx(0.025, abs=0.008)
    assert apart.mean((1, 2)).abs().max() < 0.03
    assert (apart[:, :, 1:] - apart[:, :, :-1]).abs().max() < 0.02
