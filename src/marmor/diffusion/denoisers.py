"""One interface over everything that removes noise."""

from collections.abc import Callable

from torch import Tensor, nn

from marmor.base.conditions import Conditions, Kinds
from marmor.diffusion.predictions import Estimate, Prediction, levels
from marmor.diffusion.schedules import Schedule

Denoise = Callable[[Tensor, Tensor, Conditions], Estimate]
"""(x_t of shape (B, C, H, W), t of shape (B,), conditions) → estimate. What every sampler takes."""


class Denoiser(nn.Module):
    """A network together with its schedule, the meaning of its output, and its conditions.

    The network maps (x (B, C, H, W), t (B,), conditions) to a tensor shaped like x.
    """

    def __init__(
        self,
        network: nn.Module,
        schedule: Schedule,
        prediction: Prediction,
        kinds: Kinds,
    ) -> None:
        super().__init__()
        self.network = network
        self.schedule = schedule
        self.prediction = prediction
        self.kinds = kinds

    def forward(self, x: Tensor, t: Tensor, conditions: Conditions) -> Estimate:
        """Estimates image and noise of x_t; ``t`` of shape (B,) in [0, 1]."""
        at = levels(self.schedule, t)
        output = self.network(self.prediction.network_input(x, at), t, conditions)
        return self.prediction.estimate(output.float(), x, at)

    def squared_error(
        self, image: Tensor, noise: Tensor, t: Tensor, conditions: Conditions
    ) -> Tensor:
        """Mean squared error of the network's output on its target, one value per image (B,)."""
        at = levels(self.schedule, t)
        x = at.signal * image + at.noise * noise
        output = self.network(self.prediction.network_input(x, at), t, conditions)
        error = output.float() - self.prediction.target(image, noise, at)
        return error.square().mean(dim=(1, 2, 3))
