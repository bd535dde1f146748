"""Designs: what the labels of images make of a model."""

import json

import pytest
import torch

from marmor.base.conditions import ClassLabel, ObjectSet
from marmor.base.errors import UserError
from marmor.data import ImageSet
from marmor.diffusion import LogitNormal
from marmor.networks.uvit import PATCH, TokenMixing, UViT
from marmor.recipes.conditions import kinds_of, told, understood
from marmor.recipes.designs import DESIGNS, multiple

PIXELS = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)


def test_every_column_of_labels_is_a_condition():
    labels = {
        "class": torch.tensor([0, 2]),
        "domain": torch.tensor([1, 0]),
        "objects": torch.eye(2, 4, dtype=torch.bool),
    }
    names = {"class": tuple("012"), "domain": ("real", "drawn"), "objects": tuple("abcd")}
    data = ImageSet(PIXELS, labels, names)
    kinds = kinds_of(data)
    assert kinds == {
        "class": ClassLabel(3),
        "domain": ClassLabel(2),
        "objects": ObjectSet(4, most=1),
    }
    denoiser = DESIGNS["uvit"].build((3, 16, 16), kinds).eval()
    said = {name: kind.none(2) for name, kind in kinds.items()}
    estimate = denoiser(torch.zeros(2, 3, 16, 16), torch.full((2,), 0.5), said)
    assert estimate.image.shape == (2, 3, 16, 16)
    # config.json keeps them, in their order.
    again, vocabulary = understood(json.loads(json.dumps(told(data))))
    assert list(again.items()) == list(kinds.items())
    assert vocabulary == names


def test_no_labels_are_no_conditions():
    assert kinds_of(ImageSet(PIXELS)) == {}
    assert understood(told(ImageSet(PIXELS))) == ({}, {})


def test_the_published_network_knows_one_class_only():
    for kinds in ({}, {"class": ClassLabel(3), "objects": ObjectSet(4)}):
        with pytest.raises(UserError, match="one class an image"):
            DESIGNS["context-unet"].build((3, 28, 28), kinds)


@pytest.mark.parametrize(("side", "levels", "spread"), [(32, 1, 0.75), (60, 1, 0.75), (64, 2, 1.0)])
def test_large_images_are_seen_at_two_resolutions_and_more_noises(side, levels, spread):
    network = DESIGNS["uvit"].build((3, side, side), {}).network
    assert isinstance(network, UViT)
    assert 1 + len(network.finer) == levels
    assert any(isinstance(part, TokenMixing) for part in network.modules()) == (levels == 1)
    assert multiple(side) == PATCH * 2**levels
    assert DESIGNS["uvit"].times((3, side, side)) == LogitNormal(std=spread)


@pytest.mark.parametrize("name", ["unet", "report-unet"])
def test_u_nets_know_sets_too(name):
    kinds = {"objects": ObjectSet(4), "class": ClassLabel(3)}
    torch.manual_seed(0)
    denoiser = DESIGNS[name].build((3, 32, 32), kinds).eval()
    for parameter in denoiser.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    objects = torch.eye(3, 4, dtype=torch.bool)
    said = {"objects": kinds["objects"].encode(objects), "class": torch.tensor([0, 0, 0])}
    x, t = torch.randn(1, 3, 32, 32).expand(3, -1, -1, -1), torch.full((3,), 0.5)
    with torch.inference_mode():
        one, two, three = denoiser(x, t, said).image
        [other, *_] = denoiser(x, t, said | {"class": torch.tensor([1, 0, 0])}).image
    assert min((one - two).abs().max(), (two - three).abs().max(), (one - other).abs().max()) > 1e-4
    with pytest.raises(UserError, match="multiples of 16"):
        DESIGNS["report-unet"].build((3, 28, 28), kinds)
