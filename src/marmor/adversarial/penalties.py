"""What keeps critics smooth: clipped weights, and penalties on their gradients at images."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Critic = Callable[[Tensor], Tensor]
"""Images (B, C, H, W) → scores (B,)."""


def gradients(critic: Critic, images: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (B,), and of each image the squared length of its score's gradient, (B,), differentiable."""
    images = images.detach().requires_grad_()
    scores = critic(images)
    [slope] = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return scores, slope.float().flatten(1).square().sum(1)


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor, shares: Tensor) -> Tensor:
    """(‖∇ critic‖ − 1)² between real and generated images (Gulrajani et al. 2017, eq. 3), a scalar.

    ``shares`` (B,) in [0, 1]: how far from the real image towards the generated one.
    """
    between = torch.lerp(real, fake.detach(), shares[:, None, None, None])
    _, squared = gradients(critic, between)
    return ((squared + 1e-12).sqrt() - 1).square().mean()


def clip_weights(module: nn.Module, limit: float) -> None:
    """Keeps every parameter in [-limit, limit], scales of BatchNorm and classes too.

    Arjovsky et al. 2017, alg. 1, and their code, which clips all that it trains.
    """
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.clamp_(-limit, limit)
