"""Whether an adapted classifier can be trusted: what is told, and which network is kept."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch.nn import functional as F

from marmor.recipes import adapting
from marmor.recipes.adapt import AdaptSettings, Result, Study
from marmor.recipes.adapt_doubts import doubts_of, seeds_agree
from marmor.recipes.adapt_page import figures_of, rows_of


def result(method: str, seed: int, **changes: Any) -> Result:
    plain = {"minutes": 1.0, "images_per_second": 1.0, "information": 2.0, "source_accuracy": 0.9}
    return Result(method, seed, **{**plain, **changes})


def study(*results: Result) -> Study:
    settings = AdaptSettings("a", "b", "dann", Path("run"), seeds=2)
    return Study(cast(Any, None), settings, cast(Any, None), list(results))


def test_no_doubts_where_nothing_speaks_against_it():
    both = (result("source-only", 0, accuracy=0.5), result("dann", 0, accuracy=0.9))
    assert doubts_of(study(*both), alike=0.95) == []
    assert doubts_of(study(*both), alike=None) == []


def test_doubts_of_one_network_of_seeds_and_of_the_method_are_told():
    found = doubts_of(
        study(
            result("source-only", 0, accuracy=0.5),
            result("dann", 0, accuracy=0.4, doubts=["sent back."]),
            result("dann", 1, accuracy=0.5),
        ),
        alike=0.62,
    )
    assert found[0] == "dann, seed 0: sent back."
    assert "only 62 of 100 held-out target images alike" in found[1]
    assert found[2:] == [
        "dann reads 45.0 % of the target's images, no adaptation 50.0 %: it does harm here."
    ]


def test_a_network_in_doubt_is_not_kept_however_much_it_says():
    sure = result("dann", 0, information=2.3, doubts=[adapting.UNSOUND])
    sound = result("dann", 1, information=2.0)
    worse = result("dann", 2, information=1.9)
    whole = study(result("source-only", 0), sure, sound, worse)
    assert whole.kept() is sound
    assert figures_of(whole, rows_of(whole.results))["kept.seed"] == 1
    assert study(sure).kept() is sure


def test_how_often_seeds_agree_is_a_mean_over_their_pairs(monkeypatch):
    answers = {0: [0, 1, 1, 0], 1: [0, 1, 0, 0], 2: [0, 1, 1, 1]}
    monkeypatch.setattr(Study, "network", lambda self, method, seed: seed)
    monkeypatch.setattr(adapting, "evenly", lambda images: images)
    monkeypatch.setattr(
        adapting, "read", lambda seed, images: (None, F.one_hot(torch.tensor(answers[seed])))
    )
    whole = study(*(result("dann", seed) for seed in answers))
    pair = cast(Any, SimpleNamespace(target_val=None))
    assert seeds_agree(replace(whole, pair=pair)) == pytest.approx((0.75 + 0.75 + 0.5) / 3)
    assert seeds_agree(replace(study(result("dann", 0)), pair=pair)) is None


@pytest.mark.parametrize(
    ("figures", "doubtful"),
    [
        ({"balance": 2.2, "source.accuracy": 0.95, "agreement": 0.9}, False),
        ({"balance": 0.5, "source.accuracy": 0.95, "agreement": 0.9}, True),
        ({"balance": 2.2, "source.accuracy": 0.6, "agreement": 0.9}, True),
        ({"balance": 2.2, "source.accuracy": 0.95, "agreement": 0.5}, True),
    ],
)
def test_a_run_without_a_sound_checkpoint_is_in_doubt(monkeypatch, figures, doubtful):
    lines = [{"information": 2.0, **figures}, {"information": 1.0, **figures}]
    monkeypatch.setattr(adapting, "scored", lambda run: lines)
    without = adapting.Candidate(0, 1.0, 2.3, 0.97)
    best, sound = adapting.choice(cast(Any, None), cast(Any, None), without)
    assert best.number == (1 if doubtful else 0)
    assert sound is not doubtful
