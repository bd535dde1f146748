"""ContextUnet: the small U-Net of the public conditional-MNIST diffusion script.

Source: github.com/TeaPearce/Conditional_Diffusion_MNIST, built here from its description so that
people's checkpoints load and the default network has something to be compared with. The names of
the sub-modules are those of its state dict.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from marmor.base.conditions import Conditions
from marmor.base.errors import UserError
from marmor.networks.checkpoints import SIGNATURES, State, load_into, recognise, without_prefix

# What the script keeps beside its network: the noise schedule, which marmor computes for itself.
_SCHEDULE = frozenset(
    (
        "alpha_t",
        "oneover_sqrta",
        "sqrt_beta_t",
        "alphabar_t",
        "sqrtab",
        "sqrtmab",
        "mab_over_sqrtmab",
    )
)
_GROUPS = 8
_RESIDUAL_SCALE = 1.414  # as published, not √2


class ResidualConvBlock(nn.Module):
    """Twice (3×3 convolution, BatchNorm, GELU): (B, in, H, W) → (B, out, H, W).

    With ``residual`` the second result is added to the input, or to the first result where the
    number of channels changes, and the sum divided by 1.414.
    """

    def __init__(self, in_channels: int, out_channels: int, residual: bool = False) -> None:
        super().__init__()
        self.residual = residual
        self.same_channels = in_channels == out_channels
        self.conv1 = _conv_norm(in_channels, out_channels)
        self.conv2 = _conv_norm(out_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        first = self.conv1(x)
        second = self.conv2(first)
        if not self.residual:
            return second
        return ((x if self.same_channels else first) + second) / _RESIDUAL_SCALE


class UnetDown(nn.Module):
    """A pair of convolutions, then half the size: (B, in, H, W) → (B, out, H/2, W/2)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.model = nn.Sequential(ResidualConvBlock(in_channels, out_channels), nn.MaxPool2d(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class UnetUp(nn.Module):
    """Joins the skip, doubles the size: (B, in - s, H, W), (B, s, H, W) → (B, out, 2H, 2W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.ConvTranspose2d(in_channels, out_channels, 2, 2),
            ResidualConvBlock(out_channels, out_channels),
            ResidualConvBlock(out_channels, out_channels),
        )

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.model(torch.cat((x, skip), dim=1))


class EmbedFC(nn.Module):
    """Linear, GELU, Linear: (B, in) → (B, out, 1, 1), to be spread over an image."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Linear(in_features, out_features), nn.GELU(), nn.Linear(out_features, out_features)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)[:, :, None, None]


class ContextUnet(nn.Module):
    """The published network: two levels, class and time enter on the way up.

    Args:
        n_feat: channels of the first level, a multiple of 8; the script trains with 128.
        in_channels: channels of the images, which are also those of the output.
        classes: number of classes; the label ``classes`` says "none".
        bottleneck: side of the image at the lowest level; the network takes images of four times
            that side only, because ``to_vec`` averages exactly that much away.
        sign: factor on the one-hot label. The script's mask multiplies it by −1, so its
            checkpoints need −1; a dropped label is all zeros either way.

    Raises UserError for an ``n_feat`` that GroupNorm cannot split into 8 groups.
    """

    def __init__(
        self,
        n_feat: int = 128,
        in_channels: int = 3,
        classes: int = 10,
        bottleneck: int = 7,
        sign: float = -1,
    ) -> None:
        super().__init__()
        if n_feat < _GROUPS or n_feat % _GROUPS:
            raise UserError(
                f"ContextUnet needs n_feat to be a multiple of {_GROUPS}, not {n_feat}."
            )
        n = n_feat
        self.in_channels = in_channels
        self.classes = classes
        self.image_size = 4 * bottleneck
        self.sign = sign
        self.init_conv = ResidualConvBlock(in_channels, n, residual=True)
        self.down1 = UnetDown(n, n)
        self.down2 = UnetDown(n, 2 * n)
        self.to_vec = nn.Sequential(nn.AvgPool2d(bottleneck), nn.GELU())
        self.timeembed1 = EmbedFC(1, 2 * n)
        self.timeembed2 = EmbedFC(1, n)
        self.contextembed1 = EmbedFC(classes, 2 * n)
        self.contextembed2 = EmbedFC(classes, n)
        self.up0 = nn.Sequential(
            nn.ConvTranspose2d(2 * n, 2 * n, bottleneck, bottleneck),
            nn.GroupNorm(_GROUPS, 2 * n),
            nn.ReLU(),
        )
        self.up1 = UnetUp(4 * n, n)
        self.up2 = UnetUp(2 * n, n)
        self.out = nn.Sequential(
            nn.Conv2d(2 * n, n, 3, padding=1),
            nn.GroupNorm(_GROUPS, n),
            nn.ReLU(),
            nn.Conv2d(n, in_channels, 3, padding=1),
        )

    def forward(self, x: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        """What the network predicts of the noise.

        Args:
            x: noisy images (B, C, S, S) with S = ``image_size`` (28).
            t: time (B,) in [0, 1]: the script's step over its number of steps.
            conditions: "class" → int64 (B,) in 0 … ``classes``, the last meaning "none".

        Returns a tensor of the shape of ``x``. Raises UserError for images of another shape.
        """
        expected = (self.in_channels, self.image_size, self.image_size)
        if x.shape[1:] != expected:
            raise UserError(
                f"ContextUnet takes images of channels × height × width = {_times(expected)}, "
                f"not {_times(x.shape[1:])}; resize the data or choose another network."
            )
        context = self._context(conditions["class"]).to(x.dtype)
        time = t.to(x.dtype)[:, None]
        stem = self.init_conv(x)
        down1 = self.down1(stem)
        down2 = self.down2(down1)
        up = self.up0(self.to_vec(down2))
        up = self.up1(self.contextembed1(context) * up + self.timeembed1(time), down2)
        up = self.up2(self.contextembed2(context) * up + self.timeembed2(time), down1)
        return self.out(torch.cat((up, stem), dim=1))

    def _context(self, labels: Tensor) -> Tensor:
        """Labels (B,) → (B, classes): ``sign`` at the class, all zeros for "none"."""
        return self.sign * F.one_hot(labels, self.classes + 1)[:, : self.classes]


def from_state_dict(state: State, sign: float = -1) -> ContextUnet:
    """The network that these weights belong to, in evaluation mode.

    ``state`` has bare names or the script's ``nn_model.`` before them; the schedule that the script
    stores beside the network is ignored. Sizes are read off the weights; ``sign`` is that of
    ContextUnet.
    Raises UserError naming the first weight that is missing, left over or of another shape.
    """
    weights = {
        name: value
        for name, value in without_prefix(state, "nn_model.").items()
        if name not in _SCHEDULE
    }
    what = "this checkpoint"
    kind = recognise(weights)
    if kind != "context-unet":
        first = next(iter(SIGNATURES["context-unet"]))
        raise UserError(f"{what} is a {kind}, not a ContextUnet: {first!r} is missing.")
    n_feat, in_channels = weights["init_conv.conv1.0.weight"].shape[:2]
    network = ContextUnet(
        n_feat=n_feat,
        in_channels=in_channels,
        classes=weights["contextembed1.model.0.weight"].shape[1],
        bottleneck=weights["up0.0.weight"].shape[2],
        sign=sign,
    )
    load_into(network, weights, what)
    return network.eval()


def _conv_norm(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.BatchNorm2d(out_channels), nn.GELU()
    )


def _times(sizes: tuple[int, ...]) -> str:
    return " × ".join(map(str, sizes))
