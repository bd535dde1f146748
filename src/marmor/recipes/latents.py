"""Drawing in one step: a GAN's generator that is ready to draw from latent vectors."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor

from marmor.base.conditions import ClassLabel, Kinds
from marmor.base.errors import UserError
from marmor.data import CLASS
from marmor.networks.checkpoints import load_into
from marmor.networks.dcgan import DcganGenerator
from marmor.recipes.conditions import Vocabulary, understood
from marmor.recipes.gan_designs import GANS
from marmor.recipes.generators import Generator
from marmor.recipes.wishes import Wishes
from marmor.training import Precision, autocast, resolve

DRAWS = "generator."
"""Before the names of the weights that draw; the critic's are of no use afterwards."""


@dataclass(frozen=True)
class LatentGenerator(Generator):
    """A GAN's generator and the classes that it can be asked for.

    Args:
        network: in evaluation mode.
        vocabulary: the classes; {} for a model without any.
        image_shape: (C, H, W).
        origin: where it comes from, as a person wrote it.
    """

    network: DcganGenerator
    vocabulary: Vocabulary
    image_shape: tuple[int, int, int]
    origin: str

    @property
    def module(self) -> DcganGenerator:
        return self.network

    @property
    def kinds(self) -> Kinds:
        classes = len(self.class_names)
        return {CLASS: ClassLabel(classes, has_none=False)} if classes else {}

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return (self.network.latent,)

    @property
    def calls(self) -> int:
        return 1

    @torch.inference_mode()
    def finish(
        self,
        noise: Tensor,
        said: Sequence[Mapping[str, Tensor]],
        streams: Sequence[torch.Generator],
        precision: Precision,
    ) -> Tensor:
        with autocast(resolve(precision, self.device), self.device):
            images = self.network(noise.to(self.device), self.conditions(said).get(CLASS))
        return images.float()

    def wished(self, wishes: Wishes) -> Self:
        given = [name for name, value in asdict(wishes).items() if value is not None]
        if given:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise UserError(
                f"{self.origin} is a GAN, which draws an image in one step and knows no {flags}; "
                f"leave {'it' if len(given) == 1 else 'them'} out."
            )
        return self

    def still(self, steps: int | None) -> Self:
        return self.wished(Wishes(steps=steps))

    def check_noise(self, noise: Tensor, where: str) -> None:
        raise UserError(
            f"{where} is a noise image, and {self.origin} draws from a vector of {self.network.latent} "
            "numbers; name a whole number, the seed to draw one from."
        )


def as_generator(
    model: Mapping[str, Any], weights: Mapping[str, Tensor], origin: str
) -> LatentGenerator:
    """The generator of a trained pair: ``model`` as config.json tells it, the weights of both.

    Raises UserError where they do not fit each other.
    """
    shape = tuple(model["image_shape"])
    _, vocabulary = understood(model["conditions"])
    network = GANS[model["network"]].generator(shape, len(vocabulary.get(CLASS, ())))
    own = {
        name.removeprefix(DRAWS): values
        for name, values in weights.items()
        if name.startswith(DRAWS)
    }
    load_into(network, own, origin)
    return LatentGenerator(network.eval(), vocabulary, shape, origin)
