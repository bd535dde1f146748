"""Some weights of a network as the only ones that are trained."""

from collections.abc import Sequence
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

ALONE = Lock()
"""Threads share one network, and each runs it with weights, hence gradients, of its own."""


class ChosenWeights(nn.Module):
    """The weights of a network that have one of ``names``, while the network itself is left alone.

    An optimizer never sees the others, and averages and checkpoints are as small as what is trained. Threads
    take turns in the forward pass; their backward passes run side by side.
    """

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        found = dict(network.named_parameters())
        self.names = tuple(names)
        self.weights = nn.ParameterList([found[name].detach().clone() for name in names])

    def named(self) -> dict[str, Tensor]:
        """The weights by their names in the network."""
        return dict(zip(self.names, self.weights, strict=True))

    def forward(self, network: nn.Module, *inputs: Any, **named: Any) -> Any:
        """What the network says with these weights in the place of its own."""
        with ALONE:
            return functional_call(network, self.named(), inputs, named)

    @torch.no_grad()
    def write(self, network: nn.Module) -> None:
        """Puts the weights into the network; no other weight changes."""
        put_in(network, self.named())


@torch.no_grad()
def put_in(network: nn.Module, weights: dict[str, Tensor]) -> None:
    """Puts weights into a network by their names there; ValueError where one does not fit, all or none."""
    own = dict(network.named_parameters())
    for name, values in weights.items():
        if name not in own:
            raise ValueError(f"it has no {name}")
        if own[name].shape != values.shape:
            raise ValueError(f"its {name} is {tuple(own[name].shape)}, not {tuple(values.shape)}")
    for name, values in weights.items():
        own[name].copy_(values)
