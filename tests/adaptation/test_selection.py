import math

import pytest

from marmor.adaptation import Candidate, choose

FULL = math.log(10)


def test_the_most_informative_sound_candidate_is_kept():
    good = Candidate(1, 0.9 * FULL, FULL, 0.97)
    unsure = Candidate(0, 0.5 * FULL, FULL, 0.98)
    collapsed = Candidate(2, 0.95 * FULL, 0.3 * FULL, 0.97)
    forgetful = Candidate(3, 0.99 * FULL, FULL, 0.6)
    assert choose([unsure, good, collapsed, forgetful], FULL) is good


def test_exchanged_classes_are_not_chosen_however_sure():
    good = Candidate(0, 1.5, FULL, 0.95, agreement=0.9)
    exchanged = Candidate(1, 2.2, FULL, 0.98, agreement=0.5)
    assert choose([good, exchanged], FULL) is good
    worse = Candidate(2, 2.2, FULL, 0.99, agreement=0.3)
    assert choose([exchanged, worse], FULL) is exchanged


def test_of_equals_the_latest_and_of_the_unsound_the_best_reader():
    twins = [Candidate(k, 1.0, FULL, 0.9) for k in range(3)]
    assert choose(twins, FULL).number == 2
    collapsed = [Candidate(k, 0.0, 0.0, accuracy) for k, accuracy in enumerate((0.5, 0.9, 0.7))]
    assert choose(collapsed, FULL).number == 1
    with pytest.raises(ValueError, match="no candidate"):
        choose([], FULL)
