"""The U-Net: the course's names and shapes, and a plain reference written from the formulas."""

import hashlib
import math

import pytest
import torch
from torch import Tensor

from marmor.networks.steps import InSteps
from marmor.networks.unet import Shape, UNet, from_state_dict, shape_of

COURSE = Shape(
    channels=3,
    widths=(128, 128, 256, 256, 512, 512),
    attention=(False, False, False, False, True, False),
)
# Of the published list of names and shapes, one a line, sorted.
COURSE_NAMES = "25fd5e6e28a5286b5b42b0c0f7bf496d756dc87335d77e7f53cc5eeee71d501b"
SMALL = Shape(channels=3, widths=(64, 64, 96), attention=(False, True, False))


def network(shape: Shape = SMALL, seed: int = 0) -> UNet:
    """Seeded random weights, those too that a new network has at zero."""
    torch.manual_seed(seed)
    net = UNet(shape).eval()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            spread = 1.0 if parameter.ndim > 1 else 0.3
            fan_in = math.prod(parameter.shape[1:]) if parameter.ndim > 1 else 1
            parameter.normal_(0, spread / fan_in**0.5)
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1)
    return net


def test_the_course_layout_has_the_published_names_and_shapes() -> None:
    with torch.device("meta"):
        state = UNet(COURSE).state_dict()
    lines = "\n".join(f"{name} {list(value.shape)}" for name, value in sorted(state.items()))
    assert hashlib.sha256(lines.encode()).hexdigest() == COURSE_NAMES
    parameters = sum(value.numel() for name, value in state.items() if "inv_freq" not in name)
    assert parameters == pytest.approx(113.7e6, rel=1e-3)


@pytest.mark.parametrize("shape", [COURSE, SMALL, Shape(1, (32,), (True,), 3, {"class": 10})])
def test_the_weights_tell_the_shape(shape: Shape) -> None:
    with torch.device("meta"):
        state = UNet(shape).state_dict()
        assert shape_of(state) == shape
        assert from_state_dict(state).state_dict().keys() == state.keys()


@pytest.mark.parametrize("size", [(16, 16), (8, 24)])
@torch.no_grad()
def test_it_computes_what_the_formulas_say(size, plain_unet) -> None:
    net = network()
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    step = torch.tensor([0.0, 981.0])
    ours, theirs = net(x, step, {}), plain_unet(net.state_dict(), x, step)
    assert ours.std() > 0.1
    assert (net(x, step + 1, {}) - ours).abs().max() > 1e-2  # time is heard at all
    assert torch.allclose(ours, theirs, atol=1e-4)


@torch.no_grad()
def test_conditions_change_the_image_and_only_their_own() -> None:
    net = network(Shape(3, (32, 64), (False, False), classes={"class": 4}, groups=8))
    x, step = torch.randn(3, 3, 8, 8), torch.tensor([10.0, 10.0, 10.0])
    one = net(x, step, {"class": torch.tensor([0, 1, 4])})
    two = net(x, step, {"class": torch.tensor([0, 2, 4])})
    changed = (one - two).abs().amax((1, 2, 3))
    assert changed[1] > 1e-3
    assert changed[[0, 2]].max() < 1e-5


@torch.no_grad()
def test_a_new_network_says_zero() -> None:
    assert UNet(SMALL)(torch.randn(1, 3, 8, 8), torch.zeros(1), {}).abs().max() == 0


class Step(torch.nn.Module):
    """Says which step it was shown."""

    def forward(self, x: Tensor, step: Tensor, conditions) -> Tensor:
        return step


@pytest.mark.parametrize("offset", [-1, 0])
def test_every_step_of_a_table_is_shown_exactly(offset: int) -> None:
    steps = torch.arange(1, 1001)
    t = (steps.double() / 1000).float()
    shown = InSteps(Step(), 1000, offset)(torch.empty(0), t, {})
    assert torch.equal(shown, steps + offset)


def test_fractions_of_a_step_are_shown_too() -> None:
    shown = InSteps(Step(), 1000)(torch.empty(0), torch.tensor([0.5004]), {})
    assert shown.item() == pytest.approx(499.4)


def test_sets_are_told_from_classes_by_their_weights() -> None:
    shape = Shape(3, (32, 32), (False, True), classes={"class": 4}, sets={"objects": 6})
    with torch.device("meta"):
        assert shape_of(UNet(shape).state_dict()) == shape
