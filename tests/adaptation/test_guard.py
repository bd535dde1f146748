import math
import re

import pytest

from marmor.adaptation import CollapseGuard, Signs

GUARD = CollapseGuard(balance=math.log(10), source_accuracy=0.98)
FULL = math.log(10)


@pytest.mark.parametrize(
    ("signs", "said"),
    [
        (Signs(0.3, FULL, 0.98), None),
        (Signs(0.3, 0.9 * FULL, 0.9, 0.5), None),
        (Signs(0.3, 0.2 * FULL, 0.98), "lean to few classes .*20 %"),
        (Signs(0.3, 0.2 * FULL, 0.45), "source accuracy is 45 %"),
        (Signs(0.3, FULL, 0.6), "source accuracy is 60 % where it was or should be 98 %"),
        (Signs(0.3, FULL, 0.84, 1.0), "domain classifier has won"),
        (Signs(0.3, FULL, 0.97, 1.0), None),  # told apart, and no harm done
        (Signs(0.3, FULL, 0.97, 0.5, 0.45), "exchanged .* 45 % are still read alike"),
        (Signs(0.3, FULL, 0.97, 0.5, 0.75), None),
        (Signs(0.1, FULL, 0.85, 0.5, 0.45), None),  # too early to compare
    ],
)
def test_verdicts(signs, said):
    verdict = GUARD.verdict(signs, best_source_accuracy=0.98)
    if said is None:
        assert verdict is None
    else:
        assert verdict is not None
        assert re.search(said, verdict)


def test_a_target_of_few_classes_is_no_collapse_and_a_beginning_neither():
    few = CollapseGuard(balance=math.log(3), source_accuracy=0.98)
    assert few.verdict(Signs(0.3, 0.95 * math.log(3), 0.98), 0.98) is None
    assert GUARD.verdict(Signs(0.3, 0.2 * FULL, 0.3), 0.3) is None


def test_what_never_learned_is_told_in_the_second_half():
    assert GUARD.verdict(Signs(0.4, FULL, 0.3), 0.3) is None
    verdict = GUARD.verdict(Signs(0.6, FULL, 0.3), 0.3)
    assert verdict is not None
    assert "is 30 % where it was or should be 98 %" in verdict
