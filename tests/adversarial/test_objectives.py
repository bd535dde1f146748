"""Losses of both players: their values, their signs, and where they lead."""

import math
import statistics

import pytest
import torch
from torch import nn

from marmor.adversarial import NonSaturating, Objective, Relativistic, Wasserstein, clip_weights

OBJECTIVES = [NonSaturating(), Wasserstein(), Relativistic()]


def test_a_critic_that_knows_nothing_pays_what_is_published() -> None:
    zero = torch.zeros(4)
    assert NonSaturating().critic(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert NonSaturating().generator(zero, zero).item() == pytest.approx(math.log(2))
    assert Wasserstein().critic(zero, zero).item() == 0
    assert Relativistic().critic(zero, zero).item() == pytest.approx(math.log(2))


def test_the_losses_are_those_of_sigmoids() -> None:
    real, fake = torch.tensor([1.0, -0.5]), torch.tensor([0.3, 2.0])
    expected = -(real.sigmoid().log() + (1 - fake.sigmoid()).log()).mean()
    assert NonSaturating().critic(real, fake).item() == pytest.approx(expected.item())
    expected = -((real - fake).sigmoid().log()).mean()
    assert Relativistic().critic(real, fake).item() == pytest.approx(expected.item())


def test_accuracy_is_of_sides_or_of_pairs() -> None:
    real, fake = torch.tensor([1.0, -0.5, 3.0, 2.0]), torch.tensor([0.3, -2.0, 1.0, 4.0])
    # Three real ones above zero, one drawn one below it; three pairs in the right order.
    assert NonSaturating().accuracy(real, fake).item() == 0.5
    assert Relativistic().accuracy(real, fake).item() == 0.75
    assert Wasserstein().accuracy(real + 9, fake + 9).item() == 0.75


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_players_pull_in_opposite_directions(objective: Objective) -> None:
    real, fake = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    [to_real, to_fake] = torch.autograd.grad(objective.critic(real, fake), (real, fake))
    assert (to_real < 0).all()  # the critic raises the scores of real images
    assert (to_fake > 0).all()
    [wanted] = torch.autograd.grad(objective.generator(real, fake), fake)
    assert (wanted < 0).all()  # the generator raises those of its own


def test_a_clipped_linear_critic_finds_the_distance_of_two_normals() -> None:
    # W1 of N(m1, 1) and N(m2, 1) is |m1 − m2|; a linear critic clipped to c reaches c times that.
    stream = torch.Generator().manual_seed(0)
    critic, limit = nn.Linear(1, 1, bias=False), 0.1
    optimizer = torch.optim.RMSprop(critic.parameters(), lr=0.01)
    for _ in range(100):
        clip_weights(critic, limit)
        real, fake = (torch.randn(512, 1, generator=stream) + mean for mean in (3.0, 1.0))
        loss = Wasserstein().critic(critic(real).flatten(), critic(fake).flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    clip_weights(critic, limit)
    assert -loss.item() == pytest.approx(limit * 2, abs=0.03)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_shift_is_learned(objective: Objective) -> None:
    """A generator of one number circles about the mean of the data, whatever the objective."""
    torch.manual_seed(0)
    stream, visited = torch.Generator().manual_seed(1), []
    shift, critic = nn.Parameter(torch.zeros(1)), nn.Linear(1, 1)
    movers = [torch.optim.SGD([shift], 0.05), torch.optim.SGD(critic.parameters(), 0.05)]
    for _ in range(400):
        for turn, mover in enumerate(reversed(movers)):
            clip_weights(critic, 1.0)
            real = torch.randn(256, 1, generator=stream) + 1.5
            fake = torch.randn(256, 1, generator=stream) + shift
            scores = critic(real).flatten(), critic(fake if turn else fake.detach()).flatten()
            loss = objective.generator(*scores) if turn else objective.critic(*scores)
            mover.zero_grad()
            loss.backward()
            mover.step()
        visited.append(shift.item())
    assert statistics.fmean(visited[200:]) == pytest.approx(1.5, abs=0.3)
