"""The referee: each sign of trouble is seen, and a healthy game is left alone."""

import math
from dataclasses import replace

import pytest
import torch

from marmor.adversarial import Referee, Signs, spread

HEALTHY = Signs(critic=1.0, generator=1.2, accuracy=0.8, diversity=0.9)
IDLE = 2 * math.log(2)


def verdict(
    now: Signs, *before: Signs, late: bool = False, idle: float | None = IDLE
) -> str | None:
    return Referee(idle).verdict(now, before, late)


def test_a_healthy_game_goes_on() -> None:
    assert verdict(HEALTHY) is None
    assert verdict(HEALTHY, HEALTHY, HEALTHY, late=True) is None


@pytest.mark.parametrize("whose", ["critic", "generator"])
@pytest.mark.parametrize("loss", [500.0, -500.0])
def test_a_loss_explodes_against_what_it_was(whose: str, loss: float) -> None:
    wild = replace(HEALTHY, **{whose: loss})
    assert f"the {whose}'s loss has exploded" in str(verdict(wild, HEALTHY))
    assert f"the {whose}'s loss has exploded" in str(verdict(wild))
    assert verdict(replace(HEALTHY, **{whose: loss / 4})) is None
    # The first loss of a Wasserstein critic may have any size.
    assert verdict(wild, idle=None) is None
    usual = replace(HEALTHY, **{whose: 20.0})
    assert verdict(wild, usual, usual, idle=None) is None


def test_a_critic_has_won_when_it_did_at_two_milestones_on_end() -> None:
    won = replace(HEALTHY, critic=0.01, accuracy=1.0)
    assert "the critic has won" in str(verdict(won, HEALTHY, won))
    assert verdict(won) is verdict(won, HEALTHY) is verdict(HEALTHY, won) is None
    paying = replace(won, critic=0.1)  # it still learns something
    erring = replace(won, accuracy=0.98)
    assert verdict(paying, paying) is verdict(erring, erring) is None
    # A Wasserstein critic should know everything.
    assert verdict(won, won, idle=None) is None


def test_a_generator_that_loses_its_diversity_has_collapsed() -> None:
    same = replace(HEALTHY, diversity=0.2)
    assert "collapsed: its images differ 20 %" in str(verdict(same, HEALTHY))
    # What never was diverse has not collapsed, until it is late and becomes no better.
    assert verdict(same, same) is None
    assert "collapsed" in str(verdict(same, same, late=True))
    assert verdict(same, replace(same, diversity=0.1), late=True) is None
    assert verdict(same, late=True) is None
    # Noise is more diverse than images; coming down to them is no collapse.
    assert verdict(replace(HEALTHY, diversity=0.5), replace(HEALTHY, diversity=3.0)) is None


def test_spread_is_the_mean_distance_of_all_pairs() -> None:
    images = torch.tensor([0.0, 3.0, 7.0]).view(3, 1, 1, 1)
    assert spread(images) == pytest.approx((3 + 7 + 4) / 3)
    assert spread(images[:1].expand(3, -1, -1, -1)) == 0
