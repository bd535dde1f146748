"""Conditions: what an image is asked to show, as named fields with a kind.

A condition is encoded as one tensor per batch that always has room for "none", the learned token
that stands for "not said": class-label dropout (Ho & Salimans 2022, classifier-free guidance) writes
it per sample, guidance asks for it, and a person who leaves the condition out gets it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from marmor.base.errors import UserError


@dataclass(frozen=True)
class ClassLabel:
    """One of ``size`` classes. Encoded as int64 of shape (batch,); "none" is the value ``size``.

    ``has_none`` is False for models that others trained without dropping labels: they have no "none",
    and asking for it raises UserError.
    """

    size: int
    has_none: bool = True

    def encode(self, labels: Tensor) -> Tensor:
        """Classes (batch,) as they are."""
        return labels

    def none(self, count: int) -> Tensor:
        if not self.has_none:
            raise UserError(
                "this model never learned images without a class; name a class, and draw without "
                "guidance."
            )
        return torch.full((count,), self.size, dtype=torch.int64)

    def drop(self, values: Tensor, dropped: Tensor) -> Tensor:
        """``values`` with "none" where ``dropped`` (bool, shape (batch,)) says so."""
        return torch.where(dropped, self.none(len(values)).to(values.device), values)


@dataclass(frozen=True)
class ObjectSet:
    """Any of ``size`` objects together. Encoded as float32 of shape (batch, size + 1), 1 for each object.

    "none" is 1 at the last place alone; a row of zeros says that there are no objects, which is not the same.
    ``most``: how many of them a training image shows at most, where that is known; what lies beyond was
    never learned.
    """

    size: int
    most: int | None = None

    def encode(self, labels: Tensor) -> Tensor:
        """Which objects, bool (batch, size) → (batch, size + 1)."""
        return torch.nn.functional.pad(labels.float(), (0, 1))

    def none(self, count: int) -> Tensor:
        return self.encode(torch.zeros(count, self.size)) + torch.eye(self.size + 1)[-1]

    def drop(self, values: Tensor, dropped: Tensor) -> Tensor:
        """``values`` with "none" where ``dropped`` (bool, shape (batch,)) says so."""
        return torch.where(dropped[:, None], self.none(len(values)).to(values.device), values)


Condition = ClassLabel | ObjectSet
Kinds = Mapping[str, Condition]
"""The conditions that a model can be asked for, by name."""
Conditions = dict[str, Tensor]


def none_of(kinds: Kinds, count: int, device: torch.device | str = "cpu") -> Conditions:
    """Every condition of a batch left unsaid."""
    return {name: kind.none(count).to(device) for name, kind in kinds.items()}


def drop_each(
    kinds: Kinds, values: Conditions, probability: float, generator: torch.Generator
) -> Conditions:
    """Each condition dropped on its own and per sample with the given probability."""
    return {
        name: kind.drop(
            values[name], torch.rand(len(values[name]), generator=generator) < probability
        )
        for name, kind in kinds.items()
    }
