import math
import re

import pytest

from marmor.adaptation import CollapseGuard, Signs

GUARD = CollapseGuard(classes=10)
FULL = math.log(10)


@pytest.mark.parametrize(
    ("signs", "said"),
    [
        (Signs(FULL, 0.98), None),
        (Signs(0.9 * FULL, 0.9, 0.5), None),
        (Signs(0.2 * FULL, 0.98), "lean to few classes .*20 %"),
        (Signs(FULL, 0.6), "source accuracy fell to 60 % from 98 %"),
        (Signs(FULL, 0.84, 1.0), "domain classifier has won"),
        (Signs(FULL, 0.97, 1.0), None),  # told apart, and no harm done
    ],
)
def test_verdicts(signs, said):
    verdict = GUARD.verdict(signs, best_source_accuracy=0.98)
    if said is None:
        assert verdict is None
    else:
        assert verdict is not None
        assert re.search(said, verdict)
