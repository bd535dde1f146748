"""ContextUnet against a plain functional recomputation from its state dict."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from marmor.base.errors import UserError
from marmor.networks.context_unet import ContextUnet, from_state_dict

CLASSES = 10
SCHEDULE = ["alpha_t", "oneover_sqrta", "sqrt_beta_t", "alphabar_t", "sqrtab", "sqrtmab"]
SCHEDULE += ["mab_over_sqrtmab"]
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def network() -> ContextUnet:
    """A small network that normalises, and that heeds time and class, as after training."""
    torch.manual_seed(0)
    network = ContextUnet(n_feat=16, in_channels=3, classes=CLASSES)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
        if isinstance(layer, (nn.BatchNorm2d, nn.GroupNorm)):
            nn.init.normal_(layer.weight, 1, 0.3)
            nn.init.normal_(layer.bias, 0, 0.3)
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight)
    return network.eval()


@pytest.fixture
def batch() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(5, 3, 28, 28, generator=generator)
    return x, torch.tensor([0.0025, 0.2, 0.5, 0.9, 1.0]), torch.tensor([0, 3, 9, CLASSES, 7])


def test_parameter_names_and_shapes(network: ContextUnet) -> None:
    n = 16
    shapes = {name: tuple(value.shape) for name, value in network.named_parameters()}
    expected: dict[str, tuple[int, ...]] = {}

    def layer(name: str, *weight: int, bias: int | None = None) -> None:
        expected[f"{name}.weight"] = weight
        expected[f"{name}.bias"] = (weight[0] if bias is None else bias,)

    def pair(name: str, inside: int, out: int) -> None:
        for conv, channels in (("conv1", inside), ("conv2", out)):
            layer(f"{name}.{conv}.0", out, channels, 3, 3)
            layer(f"{name}.{conv}.1", out)

    pair("init_conv", 3, n)
    pair("down1.model.0", n, n)
    pair("down2.model.0", n, 2 * n)
    for name, inside in (("timeembed", 1), ("contextembed", CLASSES)):
        for index, width in ((1, 2 * n), (2, n)):
            layer(f"{name}{index}.model.0", width, inside)
            layer(f"{name}{index}.model.2", width, width)
    layer("up0.0", 2 * n, 2 * n, 7, 7)
    layer("up0.1", 2 * n)
    for name, inside in (("up1", 4 * n), ("up2", 2 * n)):
        layer(f"{name}.model.0", inside, n, 2, 2, bias=n)
        pair(f"{name}.model.1", n, n)
        pair(f"{name}.model.2", n, n)
    layer("out.0", n, 2 * n, 3, 3)
    layer("out.1", n)
    layer("out.3", 3, n, 3, 3)
    assert shapes == expected


def test_published_size() -> None:
    """The public script's network, one channel and ten classes, counted there."""
    with torch.device("meta"):
        network = ContextUnet(n_feat=128, in_channels=1, classes=10)
    assert sum(p.numel() for p in network.parameters()) == 6_585_601


def test_forward_is_the_published_function(
    network: ContextUnet, batch: tuple[Tensor, Tensor, Tensor]
) -> None:
    x, t, labels = batch
    with torch.no_grad():
        found = network(x, t, {"class": labels})
        expected = recomputed(network.state_dict(), x, t, minus_one_hot(labels))
    assert found.std() > 0.01
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_label_counts_minus_one_unless_told_otherwise(
    network: ContextUnet, batch: tuple[Tensor, Tensor, Tensor]
) -> None:
    x, t, labels = batch
    positive = ContextUnet(n_feat=16, sign=1).eval()
    positive.load_state_dict(network.state_dict())
    with torch.no_grad():
        found = positive(x, t, {"class": labels})
        expected = recomputed(network.state_dict(), x, t, -minus_one_hot(labels))
        negative = network(x, t, {"class": labels})
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    apart = (found - negative).abs().amax((1, 2, 3)) > 1e-3
    assert apart.tolist() == [True, True, True, False, True]  # the dropped label has no sign


def test_other_image_sizes_and_channels_are_refused(network: ContextUnet) -> None:
    for shape in ((2, 3, 32, 32), (2, 1, 28, 28), (2, 3, 28, 32)):
        with pytest.raises(UserError, match=r"3 × 28 × 28, not \d × "):
            network(
                torch.zeros(shape), torch.zeros(2), {"class": torch.zeros(2, dtype=torch.int64)}
            )


@pytest.mark.parametrize("n_feat", [0, 12])
def test_widths_that_cannot_be_grouped_are_refused(n_feat: int) -> None:
    with pytest.raises(UserError, match=f"multiple of 8, not {n_feat}"):
        ContextUnet(n_feat=n_feat)


@pytest.mark.parametrize("prefix", ["", "nn_model."])
def test_published_checkpoints_load(
    prefix: str, network: ContextUnet, batch: tuple[Tensor, Tensor, Tensor]
) -> None:
    x, t, labels = batch
    state = {prefix + name: value for name, value in network.state_dict().items()}
    state |= {name: torch.zeros(401) for name in SCHEDULE}
    loaded = from_state_dict(state)
    assert not loaded.training
    with torch.no_grad():
        assert torch.equal(loaded(x, t, {"class": labels}), network(x, t, {"class": labels}))


def test_sizes_are_read_off_the_weights() -> None:
    published = ContextUnet(n_feat=8, in_channels=1, classes=4, bottleneck=8)
    loaded = from_state_dict(published.state_dict(), sign=1)
    assert (loaded.in_channels, loaded.classes, loaded.image_size, loaded.sign) == (1, 4, 32, 1)
    x = torch.zeros(1, 1, 32, 32)
    assert loaded(x, torch.zeros(1), {"class": torch.tensor([4])}).shape == x.shape


def test_other_checkpoints_are_refused_with_the_first_difference(network: ContextUnet) -> None:
    state = network.state_dict()
    with pytest.raises(UserError, match=r"'ema_decay' is not part of it"):
        from_state_dict(state | {"ema_decay": torch.zeros(1)})
    with pytest.raises(UserError, match=r"'down1.model.0.conv1.0.weight' is missing"):
        from_state_dict({k: v for k, v in state.items() if not k.startswith("down")})
    with pytest.raises(UserError, match=r"'up1.model.0.bias' should be 16 but is 17"):
        from_state_dict(state | {"up1.model.0.bias": torch.zeros(17)})
    course = {"conv1.weight": (6, 3, 5, 5), "conv2.weight": (16, 6, 5, 5), "fc1.weight": (128, 256)}
    course |= {"fc2.weight": (64, 128), "fc3.weight": (10, 64)}
    with pytest.raises(UserError, match=r"course-judge.*'init_conv.conv1.0.weight' is missing"):
        from_state_dict({name: torch.zeros(shape) for name, shape in course.items()})


def test_gradients_reach_every_parameter() -> None:
    network = ContextUnet(n_feat=8)
    labels = {"class": torch.tensor([1, CLASSES])}
    network(torch.randn(2, 3, 28, 28), torch.rand(2), labels).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def minus_one_hot(labels: Tensor) -> Tensor:
    context = torch.zeros(len(labels), CLASSES)
    for row, label in enumerate(labels.tolist()):
        if label < CLASSES:
            context[row, label] = -1
    return context


def recomputed(state: State, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
    """The network as the issue describes it, from functions and weights by name."""

    def conv_norm(name: str, x: Tensor) -> Tensor:
        x = F.conv2d(x, state[f"{name}.0.weight"], state[f"{name}.0.bias"], padding=1)
        mean, variance = state[f"{name}.1.running_mean"], state[f"{name}.1.running_var"]
        scale = state[f"{name}.1.weight"] / (variance + 1e-5).sqrt()
        x = (x - mean[:, None, None]) * scale[:, None, None]
        return F.gelu(x + state[f"{name}.1.bias"][:, None, None])

    def pair(name: str, x: Tensor) -> Tensor:
        return conv_norm(f"{name}.conv2", conv_norm(f"{name}.conv1", x))

    def embedding(name: str, x: Tensor) -> Tensor:
        first = F.gelu(x @ state[f"{name}.model.0.weight"].T + state[f"{name}.model.0.bias"])
        second = first @ state[f"{name}.model.2.weight"].T + state[f"{name}.model.2.bias"]
        return second.view(len(x), -1, 1, 1)

    def group_norm(name: str, x: Tensor) -> Tensor:
        grouped = x.view(len(x), 8, -1)
        variance, mean = torch.var_mean(grouped, dim=2, correction=0, keepdim=True)
        x = ((grouped - mean) / (variance + 1e-5).sqrt()).view_as(x)
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return x * weight[:, None, None] + bias[:, None, None]

    def transposed(name: str, x: Tensor, stride: int) -> Tensor:
        return F.conv_transpose2d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride=stride)

    def up(name: str, x: Tensor, skip: Tensor) -> Tensor:
        x = transposed(f"{name}.model.0", torch.cat([x, skip], 1), 2)
        return pair(f"{name}.model.2", pair(f"{name}.model.1", x))

    first = conv_norm("init_conv.conv1", x)
    stem = (first + conv_norm("init_conv.conv2", first)) / 1.414
    down1 = F.max_pool2d(pair("down1.model.0", stem), 2)
    down2 = F.max_pool2d(pair("down2.model.0", down1), 2)
    vector = F.gelu(down2.mean((2, 3), keepdim=True))
    up0 = F.relu(group_norm("up0.1", transposed("up0.0", vector, 7)))
    time = t[:, None]
    up1 = embedding("contextembed1", context) * up0 + embedding("timeembed1", time)
    up1 = up("up1", up1, down2)
    up2 = embedding("contextembed2", context) * up1 + embedding("timeembed2", time)
    up2 = up("up2", up2, down1)
    out = torch.cat([up2, stem], 1)
    out = F.conv2d(out, state["out.0.weight"], state["out.0.bias"], padding=1)
    out = F.relu(group_norm("out.1", out))
    return F.conv2d(out, state["out.3.weight"], state["out.3.bias"], padding=1)
