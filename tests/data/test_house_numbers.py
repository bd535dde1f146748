import pytest
import torch

from marmor.base.errors import UserError
from marmor.data import house_numbers, make_house_numbers, packaged
from marmor.data.fonts import CANVAS, DIGIT_HEIGHT, glyphs
from marmor.data.house_numbers import BLOCK

CALM = {
    "HEIGHT": (0.8, 0.8),
    "TURN": 0.0,
    "SLANT": 0.0,
    "STRETCH": 0.0,
    "PERSPECTIVE": 0.0,
    "SHIFT": 0.0,
    "NEIGHBOUR": 0.0,
    "PLATE": 0.0,
    "SHADOW": 0.0,
    "CONTRAST": (0.5, 0.5),
    "TINT": (0.0, 0.0),
    "LIGHT": 0.0,
    "TEXTURE": (0.0, 0.0),
    "BLUR": (0.05, 0.05),
    "NOISE": (0.0, 0.0),
    "QUALITY": (95, 95),
}


def test_the_digit_in_the_middle_is_the_label(monkeypatch):
    for name, value in CALM.items():
        monkeypatch.setattr(house_numbers, name, value)
    made = make_house_numbers(100, seed=3)
    ink = made.images.float().mean(1)
    ink = (ink - ink[:, :1, :1]).abs().flatten(1)
    templates = torch.nn.functional.interpolate(
        glyphs().masks.flatten(0, 1), scale_factor=0.8 * 32 / DIGIT_HEIGHT, mode="area"
    )[:, 0]
    side = templates.shape[-1]
    edge = (side - 32) // 2
    templates = templates[:, edge : edge + 32, edge : edge + 32].flatten(1)
    nearest = torch.cdist(unit(ink), unit(templates)).argmin(1) % 10
    assert (nearest == made.labels["class"]).float().mean() >= 0.98


def unit(values):
    return values / values.norm(dim=1, keepdim=True)


def test_a_seed_gives_the_same_images_however_many_are_made():
    few, many = make_house_numbers(3, seed=1), make_house_numbers(BLOCK + 2, seed=1)
    assert torch.equal(few.images, many.images[:3])
    assert torch.equal(few.labels["class"], many.labels["class"][:3])
    assert not torch.equal(few.images, make_house_numbers(3, seed=2).images)
    assert not torch.equal(many.images[:2], many.images[BLOCK:])


def test_what_is_made():
    made = make_house_numbers(BLOCK, seed=0)
    assert made.images.shape == (BLOCK, 3, 32, 32)
    assert made.class_names == tuple("0123456789")
    assert torch.bincount(made.labels["class"], minlength=10).min() > 25
    assert made.images.float().std((1, 2, 3)).min() > 1  # none is empty


def test_progress_and_no_images():
    told: list[float] = []
    make_house_numbers(BLOCK + 1, 0, told.append)
    assert told == [pytest.approx(BLOCK / (BLOCK + 1)), 1.0]
    with pytest.raises(UserError, match="ask for 1 or more"):
        make_house_numbers(0, 0)


def test_faces_stand_on_one_line_and_are_whole():
    drawn = glyphs()
    assert drawn.masks.shape == (49, 10, 1, CANVAS, CANVAS)
    assert drawn.shares.sum() == pytest.approx(1)
    frame = torch.ones(CANVAS, CANVAS, dtype=torch.bool)
    frame[1:-1, 1:-1] = False
    assert drawn.masks[..., frame].max() == 0
    rows = (drawn.masks[:, 0, 0].amax(2) > 0.5).float()
    heights, middles = rows.sum(1), (rows * torch.arange(CANVAS)).sum(1) / rows.sum(1)
    assert (heights - DIGIT_HEIGHT).abs().max() <= 2
    assert (middles - CANVAS / 2).abs().max() <= 2
    assert len(torch.unique(drawn.masks.flatten(2).flatten(0, 1), dim=0)) == 490


def test_missing_typefaces_are_told(monkeypatch):
    glyphs.cache_clear()
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"marmor\[demo\]"):
        make_house_numbers(1, 0)
