"""Which of several plans `best` keeps."""

from dataclasses import replace

import pytest

from marmor.recipes.adapt_results import NOTHING_STAYED, TAUGHT_SHARES, Result, best_of, in_order


def of(method: str, minutes: float, stays: bool = True) -> Result:
    return Result(method, 0, minutes, 1.0, 2.0, 0.9, accuracy=minutes / 100, stays=stays)


ADAMATCH, QUOTAS = of("adamatch", 10), of("adamatch-quotas", 8)


@pytest.mark.parametrize(
    ("refined", "quotas", "kept", "minutes", "doubts"),
    [
        (True, None, "adamatch-refined", 11, []),
        (True, False, "adamatch-refined", 11, []),
        (False, True, "quotas-refined", 20, [TAUGHT_SHARES]),
        (False, False, "adamatch", 20, [NOTHING_STAYED]),
    ],
)
def test_best_is_the_first_rung_whose_shares_stay(refined, quotas, kept, minutes, doubts):
    found = [QUOTAS, ADAMATCH, of("adamatch-refined", 11, refined)]
    found += [] if quotas is None else [of("quotas-refined", 9, quotas)]
    best = best_of(found)
    assert best is not None
    assert best.method == "best"
    assert best.network == kept
    [own] = [it for it in found if it.method == kept]
    assert best.accuracy == own.accuracy
    assert best.minutes == minutes
    assert best.doubts == doubts


def test_best_waits_for_the_next_rung():
    assert best_of([ADAMATCH]) is None
    assert best_of([ADAMATCH, of("adamatch-refined", 11, stays=False)]) is None


def test_tables_end_with_best_and_the_upper_bound():
    found = [of(name, 1) for name in ("target-only", "best", "shot", "source-only")]
    names = ["source-only", "shot", "best", "target-only"]
    assert [result.method for result in in_order(found)] == names


def test_labels_would_choose_among_all_that_best_tried():
    scores = {"adamatch": 0.7, "adamatch-refined": 0.9, "quotas-refined": 0.8}
    found = [
        replace(of(name, 1, stays=name != "adamatch-refined"), oracle=score / 2, oracle_score=score)
        for name, score in scores.items()
    ]
    best = best_of(found)
    assert best is not None
    assert best.network == "quotas-refined"
    assert (best.oracle, best.oracle_score) == (0.45, 0.9)
