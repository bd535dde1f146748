"""How strongly to augment: as much as keeps the critic from learning its images by heart."""

from torch import Tensor

TARGET = 0.6
"""The sign of the critic's answers, in [-1, 1], above which it knows too much (Karras et al. 2020)."""
IMAGES = 100_000
"""Images over which the strength can rise from 0 to 1; theirs are 500,000, all that a run here sees."""
MOST = 0.8
"""Above it the generator begins to draw the changes themselves (Karras et al. 2020, section 2.2)."""


def adapted(strength: Tensor, accuracy: float, images: int) -> Tensor:
    """The strength () in [0, MOST] after a batch of ``images``.

    ADA (Karras et al. 2020, section 3.1): it rises while r = E[sign] lies above its target and falls below.
    Of a critic that is right in a share ``accuracy`` of its answers, r = 2 · accuracy − 1.
    """
    up = 2 * accuracy - 1 > TARGET
    return (strength + (images if up else -images) / IMAGES).clamp(0, MOST)
