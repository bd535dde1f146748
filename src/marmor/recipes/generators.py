"""A model that is ready to draw, however it does: what every command that draws takes."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from marmor.base.conditions import Conditions, Kinds
from marmor.data import CLASS, DOMAIN
from marmor.recipes.conditions import Vocabulary
from marmor.recipes.wishes import Wishes
from marmor.training import Precision

EVERYWHERE = ""
"""The one domain of a model that knows none."""


class Generator(ABC):
    """A network, what it can be asked for, and how images come out of noise.

    ``vocabulary``: for each condition, what can be asked for; {} for a model without any.
    ``image_shape``: (C, H, W) of the images it was trained on. ``origin``: where it comes from, as a person
    wrote it.
    """

    vocabulary: Vocabulary
    image_shape: tuple[int, int, int]
    origin: str

    @property
    @abstractmethod
    def module(self) -> nn.Module:
        """What draws, in evaluation mode."""

    @property
    @abstractmethod
    def kinds(self) -> Kinds:
        """The conditions that it can be asked for."""

    @property
    @abstractmethod
    def noise_shape(self) -> tuple[int, ...]:
        """Of the noise that one image begins with."""

    @property
    @abstractmethod
    def calls(self) -> int:
        """Steps of the solver that an image takes; 1 for a network that draws at once."""

    @abstractmethod
    def finish(
        self,
        noise: Tensor,
        said: Sequence[Mapping[str, Tensor]],
        streams: Sequence[torch.Generator],
        precision: Precision,
    ) -> Tensor:
        """Images (B, C, H, W), nominally in [``black``, 1], from noise (B, *noise_shape).

        ``said``: what each image should show; ``streams``: where each takes further noise from.
        """

    @abstractmethod
    def wished(self, wishes: Wishes) -> Self:
        """The same, drawn as a person wants it; UserError for what cannot be."""

    @abstractmethod
    def still(self, steps: int | None) -> Self:
        """The same, drawn so that an image follows from the noise it begins with and nothing else.

        ``steps``: of the solver; the usual ones where None. UserError for a model that takes none.
        """

    @abstractmethod
    def check_noise(self, noise: Tensor, where: str) -> None:
        """Raises UserError where it cannot start from noise (N, …), which ``where`` names."""

    @property
    def black(self) -> float:
        """The value that stands for black, below 1, which stands for white."""
        return -1.0

    @property
    def remark(self) -> str:
        """What must be known of its images wherever they are scored; "" for nothing."""
        return ""

    @property
    def device(self) -> torch.device:
        """Where the weights lie; noise and conditions must lie there too."""
        return next(self.module.parameters()).device

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes it can be asked for; () for a model without any."""
        return self.vocabulary.get(CLASS, ())

    @property
    def domains(self) -> tuple[str, ...]:
        """The places whose images it draws; of a model that knows none, EVERYWHERE alone."""
        return self.vocabulary.get(DOMAIN, (EVERYWHERE,))

    def conditions(self, said: Sequence[Mapping[str, Tensor]]) -> Conditions:
        """What each image of a batch is asked to show, encoded; what nobody says is "none".

        Raises UserError where a model has no "none" for what is left out.
        """
        encoded: Conditions = {}
        for name, kind in self.kinds.items():
            rows = [kind.encode(one[name][None]) if name in one else kind.none(1) for one in said]
            encoded[name] = torch.cat(rows).to(self.device)
        return encoded
