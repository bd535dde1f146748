"""Replicas: threads give the gradients of the whole batch, and share the weights."""

import torch
from torch import nn

from marmor.training.optimizers import adam
from marmor.training.replicas import Replicas, threads_for


def loss(module: nn.Module, batch: dict) -> dict:
    return {"loss": (module(batch["x"]) - batch["y"]).square().mean()}


def batch(count: int = 21) -> dict:
    stream = torch.Generator().manual_seed(0)
    return {
        "x": torch.randn(count, 5, generator=stream),
        "y": torch.randn(count, 2, generator=stream),
    }


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 2))


def test_threads_give_the_gradient_of_the_whole_batch() -> None:
    one, three = network(), network()
    alone = Replicas(one, 1).backward(loss, batch())
    together = Replicas(three, 3).backward(loss, batch())
    assert abs(alone["loss"] - together["loss"]) < 1e-6
    for a, b in zip(one.parameters(), three.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert torch.allclose(a.grad, b.grad, atol=1e-6)


def test_gradients_do_not_pile_up_and_steps_reach_every_copy() -> None:
    module = network()
    replicas, optimizers = Replicas(module, 2), adam(module, 0.05)
    losses = []
    for _ in range(40):
        losses.append(replicas.backward(loss, batch())["loss"])
        optimizers.step(1.0, replicas)
    assert losses[-1] < 0.6 * losses[0]
    for a, b in zip(module.parameters(), replicas.copies[1].parameters(), strict=True):
        assert torch.equal(a, b)


def test_batch_norm_keeps_its_batch_whole() -> None:
    torch.set_num_threads(2)
    try:
        cpu = torch.device("cpu")
        assert threads_for(network(), 64, cpu) == 2
        assert threads_for(network(), 8, cpu) == 1
        assert threads_for(nn.Sequential(nn.BatchNorm1d(5)), 64, cpu) == 1
    finally:
        torch.set_num_threads(1)
