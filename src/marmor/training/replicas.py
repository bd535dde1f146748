"""Data-parallel threads on a CPU: replicas that share weights and own their gradients.

For networks of this size, splitting every operation over the cores leaves them waiting for each
other; giving each core its own part of the batch does not (docs/digits.md has the ratio). Gradients
are added in a fixed order, so a run does not depend on which thread was faster.
"""

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

Batch = dict[str, Tensor]
Loss = Callable[[nn.Module, Batch], dict[str, Tensor]]
"""(module, part of the batch) → scalars, each a mean over the part; ``"loss"`` is minimised."""

SMALLEST_PART = 8
"""Fewer images a thread cost more in overhead than they gain."""


class Replicas:
    """Runs a loss on parts of a batch, one thread a part, and sums the gradients into the module."""

    def __init__(self, module: nn.Module, threads: int) -> None:
        self.module = module
        self.threads = threads
        self.copies = [module, *(_sharing(module) for _ in range(threads - 1))]
        self.pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def backward(self, loss: Loss, batch: Batch) -> dict[str, float]:
        """Leaves the gradient of the batch's mean loss in the module; returns the scalars' means."""
        size = len(next(iter(batch.values())))
        split = [values.tensor_split(self.threads) for values in batch.values()]
        parts = [dict(zip(batch, rows, strict=True)) for rows in zip(*split, strict=True)]
        shares = [len(next(iter(part.values()))) / size for part in parts]
        tasks = [
            partial(_backward, copy, loss, part, share)
            for copy, part, share in zip(self.copies, parts, shares, strict=True)
        ]
        results = self.run(tasks)
        self._sum_gradients()
        return {key: sum(result[key] for result in results) for key in results[0]}

    def run(self, tasks: Sequence[Callable[[], Any]]) -> list[Any]:
        """Runs tasks, each on a thread of its own where there are several."""
        if self.pool is None:
            return [task() for task in tasks]
        return list(self.pool.map(_alone, tasks))

    def _sum_gradients(self) -> None:
        for parameter, *others in zip(*(c.parameters() for c in self.copies), strict=True):
            for other in others:
                if parameter.grad is None:
                    parameter.grad = other.grad
                elif other.grad is not None:
                    parameter.grad.add_(other.grad)

    def close(self) -> None:
        if self.pool is not None:
            self.pool.shutdown()


def threads_for(module: nn.Module, batch: int, device: torch.device) -> int:
    """How many replicas suit a network, a batch and a device.

    One on a GPU; one for networks with BatchNorm, whose statistics belong to the whole batch.
    """
    normalised = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in module.modules())
    if device.type != "cpu" or normalised:
        return 1
    return max(1, min(torch.get_num_threads(), batch // SMALLEST_PART))


def _sharing(module: nn.Module) -> nn.Module:
    twin = copy.deepcopy(module)
    for mine, theirs in zip(twin.parameters(), module.parameters(), strict=True):
        mine.data = theirs.data
    return twin


def _backward(module: nn.Module, loss: Loss, part: Batch, share: float) -> dict[str, float]:
    for parameter in module.parameters():
        parameter.grad = None
    scalars = loss(module, part)
    (scalars["loss"] * share).backward()
    return {key: value.item() * share for key, value in scalars.items()}


def _alone(task: Callable[[], Any]) -> Any:
    torch.set_num_threads(1)  # OpenMP keeps this per thread
    return task()
