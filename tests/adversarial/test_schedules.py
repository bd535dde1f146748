"""The critic's turns: those of the published code, and how many there were before a step."""

import pytest

from marmor.adversarial import CriticTurns

SCHEDULES = [
    CriticTurns(),
    CriticTurns(usual=5),
    CriticTurns(usual=5, generous=100, first=25, every=500),
    CriticTurns(usual=2, generous=3, first=1, every=2),
    CriticTurns(usual=1, generous=4, first=6, every=3),
]


def test_the_published_critic_is_generous_at_first_and_now_and_then() -> None:
    turns = CriticTurns(usual=5, generous=100, first=25, every=500)
    generous = [step for step in range(1200) if turns.of(step) == 100]
    assert generous == [*range(25), 500, 1000]
    assert {turns.of(step) for step in range(1200)} == {5, 100}


@pytest.mark.parametrize("turns", SCHEDULES)
def test_turns_before_a_step_are_the_sum_of_those_of_the_steps(turns: CriticTurns) -> None:
    total = 0
    for step in range(1100):
        assert turns.before(step) == total
        total += turns.of(step)
