"""What generator and critic play for. Scores are (B,), higher for what the critic takes for real."""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import softplus


class Objective(ABC):
    """Two losses over scores of as many real images as generated ones; both are minimised.

    ``idle``: what a critic that knows nothing pays; None where none can win, since the loss has no floor.
    ``sees_real``: whether the generator's loss asks for the scores of real images.
    """

    idle: ClassVar[float | None]
    sees_real: ClassVar[bool] = False

    @abstractmethod
    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """What the critic minimises, a scalar."""

    @abstractmethod
    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        """What the generator minimises, a scalar."""

    def accuracy(self, real: Tensor, fake: Tensor) -> Tensor:
        """The share of pairs in which the real image is scored higher, a scalar in [0, 1]."""
        return (real > fake).float().mean()


class NonSaturating(Objective):
    """Goodfellow et al. 2014, section 3, as DCGAN is trained: the critic's sigmoid and its logarithm in one.

    critic: −log σ(real) − log(1 − σ(fake)); generator: −log σ(fake).
    """

    idle = 2 * math.log(2)

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(-real).mean() + softplus(fake).mean()

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(-fake).mean()

    def accuracy(self, real: Tensor, fake: Tensor) -> Tensor:
        """The share of images that lie on their side of zero."""
        return ((real > 0).float().mean() + (fake < 0).float().mean()) / 2


class Wasserstein(Objective):
    """Arjovsky et al. 2017, eq. 2 and 3: the critic's loss is minus the estimated distance."""

    idle = None

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        return -fake.mean()


class Relativistic(Objective):
    """Pairs (Jolicoeur-Martineau 2019; Huang et al. 2024, eq. 2): is the real one the more real?

    critic: −log σ(real − fake); generator: −log σ(fake − real).
    """

    idle = math.log(2)
    sees_real = True

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(fake - real).mean()

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(real - fake).mean()
