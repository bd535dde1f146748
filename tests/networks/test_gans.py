"""Generators and critics: published sizes, shapes, classes, and sides that cannot be."""

import pytest
import torch
from torch import nn

from marmor.networks.dcgan import DcganCritic, DcganGenerator
from marmor.recipes.gan_designs import GANS

PAIRS = [(design.generator, design.critic) for design in GANS.values()]


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_published_pair_has_its_published_sizes() -> None:
    generator, critic = DcganGenerator((3, 64, 64)), DcganCritic((3, 64, 64))
    # 16 weights a kernel; two numbers for each channel of BatchNorm.
    widths = [(100, 1024), (1024, 512), (512, 256), (256, 128), (128, 3)]
    norms = 2 * (1024 + 512 + 256 + 128)
    assert _count(generator) == sum(16 * a * b for a, b in widths) + norms
    widths = [(3, 64), (64, 128), (128, 256), (256, 512), (512, 1)]
    assert _count(critic) == sum(16 * a * b for a, b in widths) + 2 * (128 + 256 + 512)
    assert isinstance(generator.body[-1], nn.Tanh)
    assert not any(isinstance(m, nn.Sigmoid) for m in critic.modules())


def test_both_begin_as_dcgans_authors_draw_them() -> None:
    torch.manual_seed(0)
    for network in (DcganGenerator((3, 32, 32), 5), DcganCritic((3, 32, 32), 5)):
        kernels = [
            m.weight for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)
        ]
        assert len(kernels) == 4
        for kernel in kernels:
            assert kernel.std().item() == pytest.approx(0.02, rel=0.05)
            assert abs(kernel.mean().item()) < 0.001
        norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
        scales = torch.cat([m.weight.flatten() for m in norms])
        assert scales.mean().item() == pytest.approx(1, abs=0.01)
        assert scales.std().item() == pytest.approx(0.02, rel=0.3)
        assert all((m.bias == 0).all() for m in norms)


def test_a_critics_classes_begin_as_small_as_its_weights() -> None:
    torch.manual_seed(0)
    label = DcganCritic((3, 32, 32), 50).label
    assert label is not None
    assert label.weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_no_layer_is_wider_than_asked() -> None:
    generator = DcganGenerator((3, 64, 64), narrowest=24, widest=64)
    critic = DcganCritic((3, 64, 64), narrowest=24, widest=64)
    ups = [m for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    downs = [m for m in critic.modules() if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in ups] == [64, 64, 48, 24, 3]
    assert [m.out_channels for m in downs] == [24, 48, 64, 64, 1]


def test_both_compute_with_channels_last() -> None:
    seen = []
    generator, critic = DcganGenerator((3, 16, 16)), DcganCritic((3, 16, 16))
    for layer in (generator.body[3], critic.body[0]):
        layer.register_forward_hook(lambda module, given, x: seen.append(x))
    generator(torch.randn(2, generator.latent))
    critic(torch.randn(2, 3, 16, 16))
    assert len(seen) == 2
    for x in seen:
        assert x.is_contiguous(memory_format=torch.channels_last)
        assert not x.is_contiguous()


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("side", [8, 32])
@pytest.mark.parametrize("classes", [0, 5])
def test_images_and_scores(pair, side: int, classes: int) -> None:
    generator, critic = pair[0]((3, side, side), classes), pair[1]((3, side, side), classes)
    labels = torch.arange(4) if classes else None
    latent = torch.randn(4, generator.latent, generator=torch.Generator().manual_seed(0))
    images = generator(latent, labels)
    assert images.shape == (4, 3, side, side)
    assert critic(images, labels).shape == (4,)


@pytest.mark.parametrize("pair", PAIRS)
def test_classes_act_on_both(pair) -> None:
    torch.manual_seed(0)
    generator, critic = pair[0]((3, 8, 8), 2).eval(), pair[1]((3, 8, 8), 2).eval()
    latent, labels = torch.randn(1, generator.latent).expand(2, -1), torch.arange(2)
    images = generator(latent, labels)
    assert not images[0].equal(images[1])
    same = images[:1].expand(2, -1, -1, -1)
    scores = critic(same, labels)
    assert scores[0] != scores[1]


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("shape", [(3, 28, 28), (3, 4, 4), (3, 32, 16)])
def test_sides_that_do_not_double_up_are_refused(pair, shape) -> None:
    for network in pair:
        with pytest.raises(ValueError, match="sides must be"):
            network(shape)


def test_without_batchnorm_an_image_is_scored_alone() -> None:
    critic = DcganCritic((3, 16, 16), narrowest=4, normalised=False)
    images = torch.randn(4, 3, 16, 16)
    assert torch.allclose(critic(images)[:1], critic(images[:1]), atol=1e-6)
