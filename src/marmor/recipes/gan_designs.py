"""The GANs that `--objective NAME` can train: pair, game, optimizers, schedule."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from torch import nn
from torch.optim import Adam, Optimizer, RMSprop

from marmor.adversarial import CriticTurns, NonSaturating, Objective, Relativistic, Wasserstein
from marmor.networks.dcgan import DcganCritic, DcganGenerator

Shape = tuple[int, int, int]
ONE_EACH = CriticTurns()
FUSED = partial(Adam, fused=True)
"""All weights in one pass; one after the other is a fifth of a turn on two cores."""


@dataclass(frozen=True)
class GanDesign:
    """One way to train a generator against a critic.

    Args:
        generator: (image shape, classes) → the network that draws; 0 classes for images without.
        critic: the same → the network that tells real images from drawn ones.
        objective: what they play for.
        optimizer: of the weights of either.
        batch_size: images a turn.
        turns: how often the critic moves before the generator does.
        clip: the largest magnitude of the critic's weights before each use of it; None for any.
        zero_centred: γ, weight of γ/2 times the squared gradient of the critic at real images (R1) and at
            drawn ones (R2); 0 for none.
        one_centred: λ, weight of the gradient penalty between them; 0 for none.
        penalty_every: turns of the critic between two penalties at images, each of which then counts as often
            (lazy regularization, Karras et al. 2020 on StyleGAN2, section 3.1).
        same_images: whether the generator learns from the images of the critic's last turn, which spares
            drawing others; else from new ones.
        mirrored: whether half of the real images are mirrored left to right.
        augmented: whether the critic sees images changed at random, as strongly as it needs.
        ema: decay of the averaged weights that draw; 0 for the last ones.
        rate: the factor on the learning rates at a progress in [0, 1].
    """

    generator: Callable[[Shape, int], DcganGenerator]
    critic: Callable[[Shape, int], DcganCritic]
    objective: Objective
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer]
    batch_size: int
    turns: CriticTurns = ONE_EACH
    clip: float | None = None
    zero_centred: float = 0.0
    one_centred: float = 0.0
    penalty_every: int = 1
    same_images: bool = False
    mirrored: bool = False
    augmented: bool = False
    ema: float = 0.0
    rate: Callable[[float], float] = lambda progress: 1.0


def cosine_to_quarter(progress: float) -> float:
    """R3GAN's factor on the rate: half a cosine from 1 to 0.25 (Huang et al. 2024, appendix)."""
    return 0.25 + 0.75 * (1 + math.cos(math.pi * progress)) / 2


GANS: dict[str, GanDesign] = {
    # The game of Huang et al. 2024 with a pair for CPUs; γ, rate and batch were chosen for runs of minutes
    # (docs/gans.md). Their γ for faces of 64×64 falls from 2 to 0.2.
    "r3gan": GanDesign(
        generator=partial(DcganGenerator, narrowest=64, widest=256),
        critic=partial(DcganCritic, widest=256, normalised=False),
        objective=Relativistic(),
        optimizer=partial(FUSED, lr=1e-3, betas=(0.0, 0.99)),
        batch_size=32,
        zero_centred=0.3,
        penalty_every=4,
        mirrored=True,
        augmented=True,
        ema=0.998,
        rate=cosine_to_quarter,
    ),
    # Radford et al. 2016 and their code.
    "dcgan": GanDesign(
        generator=DcganGenerator,
        critic=DcganCritic,
        objective=NonSaturating(),
        optimizer=partial(FUSED, lr=2e-4, betas=(0.5, 0.999)),
        batch_size=128,
        same_images=True,
    ),
    # Arjovsky et al. 2017 and their code.
    "wgan": GanDesign(
        generator=DcganGenerator,
        critic=DcganCritic,
        objective=Wasserstein(),
        optimizer=partial(RMSprop, lr=5e-5),
        batch_size=64,
        turns=CriticTurns(usual=5, generous=100, first=25, every=500),
        clip=0.01,
    ),
    # Gulrajani et al. 2017, with the same pair.
    "wgan-gp": GanDesign(
        generator=DcganGenerator,
        critic=partial(DcganCritic, normalised=False),
        objective=Wasserstein(),
        optimizer=partial(FUSED, lr=1e-4, betas=(0.0, 0.9)),
        batch_size=64,
        turns=CriticTurns(usual=5),
        one_centred=10.0,
    ),
}
