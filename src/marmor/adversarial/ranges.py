"""Can the generator draw the values that the images have? If not, the critic needs to know nothing else."""

from torch import Tensor

from marmor.base.errors import UserError

Reach = tuple[float, float] | None
"""The values that a generator's last layer can give: −1 and 1 of a tanh; None for a linear layer."""
ROUNDING = 1e-3


def check_reach(images: Tensor, reach: Reach) -> None:
    """Raises UserError where images (B, C, H, W) have values that the generator cannot draw."""
    if reach is None:
        return
    low, high = images.min().item(), images.max().item()
    if low < reach[0] - ROUNDING or high > reach[1] + ROUNDING:
        raise UserError(
            f"the training images reach from {low:.2f} to {high:.2f} and the generator's last layer, a tanh, "
            f"only from {reach[0]:g} to {reach[1]:g}, so the critic would win at once; bring the images to "
            f"[{reach[0]:g}, {reach[1]:g}] instead of normalising them by mean and spread, as for ImageNet."
        )
