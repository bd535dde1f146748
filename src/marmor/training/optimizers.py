"""Muon for hidden matrices, AdamW for the rest, as one optimizer with several parts."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from marmor.training.muon import Muon
from marmor.training.replicas import Replicas


class Optimizers:
    """Independent optimizers over disjoint parameters, stepped side by side."""

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        self.parts = list(parts)
        self.rates = [[group["lr"] for group in part.param_groups] for part in self.parts]

    def parameters(self) -> list[nn.Parameter]:
        """Everything that is moved."""
        groups = [group for part in self.parts for group in part.param_groups]
        return [parameter for group in groups for parameter in group["params"]]

    def step(self, factor: float, replicas: Replicas) -> None:
        """One step with every learning rate multiplied by ``factor``."""
        for part, rates in zip(self.parts, self.rates, strict=True):
            for group, rate in zip(part.param_groups, rates, strict=True):
                group["lr"] = rate * factor
        replicas.run([part.step for part in self.parts])

    def state_dict(self) -> list[dict[str, Any]]:
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)


def muon_and_adamw(
    module: nn.Module,
    matrices: Sequence[nn.Parameter],
    muon_rate: float = 0.014,
    adamw_rate: float = 0.008,
    betas: tuple[float, float] = (0.9, 0.98),
    weight_decay: float = 0.0,
) -> Optimizers:
    """Muon (Jordan et al. 2024) on ``matrices``, AdamW on all other parameters, ``weight_decay`` its own.

    Muon is split in two parts of about equal work, since its matrices are small and independent.
    """
    chosen = {id(matrix) for matrix in matrices}
    others = [p for p in module.parameters() if id(p) not in chosen]
    by_work = sorted(matrices, key=lambda m: m.numel() * min(m.shape), reverse=True)
    muons = [Muon(share, lr=muon_rate) for share in (by_work[::2], by_work[1::2]) if share]
    adamw = torch.optim.AdamW(
        others, lr=adamw_rate, betas=betas, weight_decay=weight_decay, fused=True
    )
    return Optimizers([*muons, adamw])


def adam(module: nn.Module, rate: float) -> Optimizers:
    """Plain Adam, as the published digit recipe has it."""
    return Optimizers([torch.optim.Adam(module.parameters(), lr=rate)])
