"""What generator and critic play for. Scores are (B,), higher for what the critic takes for real."""

from abc import ABC, abstractmethod

from torch import Tensor
from torch.nn.functional import softplus


class Objective(ABC):
    """Two losses over scores of as many real images as generated ones; both are minimised."""

    @abstractmethod
    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """What the critic minimises, a scalar."""

    @abstractmethod
    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        """What the generator minimises, a scalar."""


class NonSaturating(Objective):
    """Goodfellow et al. 2014, section 3, as DCGAN is trained: the critic's sigmoid and its logarithm in one.

    critic: −log σ(real) − log(1 − σ(fake)); generator: −log σ(fake).
    """

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(-real).mean() + softplus(fake).mean()

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(-fake).mean()


class Wasserstein(Objective):
    """Arjovsky et al. 2017, eq. 2 and 3: the critic's loss is minus the estimated distance."""

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        return -fake.mean()


class Relativistic(Objective):
    """Pairs (Jolicoeur-Martineau 2019; Huang et al. 2024, eq. 2): is the real one the more real?

    critic: −log σ(real − fake); generator: −log σ(fake − real).
    """

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(fake - real).mean()

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(real - fake).mean()
