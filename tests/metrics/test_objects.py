"""Scores of sets of objects, counted by hand."""

import pytest
import torch

from marmor.metrics import object_answers, object_scores, share


def of(*rows):
    return torch.tensor(rows)


def test_hits_are_counted_among_as_many_as_were_asked_for():
    asked = of([1, 1, 0, 0], [0, 0, 1, 0], [1, 1, 1, 0]).bool()
    probabilities = of(
        [0.9, 0.1, 0.8, 0.2],  # one of its two surest was asked for; object 2 is shown unasked
        [0.1, 0.2, 0.6, 0.3],  # as asked
        [0.3, 0.4, 0.2, 0.1],  # the three surest are right, none is shown
    )
    scores = object_scores(probabilities, asked)
    assert (scores.found.value, scores.found.count) == (pytest.approx(5 / 6), 6)
    assert (scores.exact.value, scores.exact.count) == (pytest.approx(1 / 3), 3)
    assert scores.extra.value == pytest.approx(1 / 3)
    # Student's, of 1, 0 and 0: standard error 1/3, 2 degrees of freedom.
    assert scores.extra.high == pytest.approx((1 + 4.302653) / 3)


def test_answers_are_counted_over_all_and_for_each_object():
    shown = of([1, 0, 1], [0, 0, 1]).bool()
    answers = object_answers(of([0.9, 0.6, 0.2], [0.4, 0.1, 0.5]), shown)
    assert (answers.overall.value, answers.overall.count) == (pytest.approx(4 / 6), 6)
    assert [part.value for part in answers.each] == [1, 0.5, 0.5]
    assert answers.overall == share(4, 6)
    with pytest.raises(ValueError, match="one shape"):
        object_answers(torch.rand(2, 3), torch.ones(2, 3))


def test_a_perfect_judge_and_perfect_pictures():
    asked = torch.rand(50, 24, generator=torch.Generator().manual_seed(0)) < 0.1
    asked[:, 0] = True
    scores = object_scores(asked.float(), asked)
    assert scores.found.value == scores.exact.value == 1
    assert scores.extra.value == 0
    everything = object_scores(torch.ones(50, 24), asked)
    assert everything.exact.value == 0
    assert everything.extra.value == pytest.approx((~asked).sum().item() / 50)


def test_objects_in_any_order_score_alike():
    stream = torch.Generator().manual_seed(0)
    probabilities = torch.rand(30, 24, generator=stream)
    asked = torch.rand(30, 24, generator=stream) < 0.2
    asked[:, 3] = True
    order = torch.randperm(24, generator=stream)
    assert object_scores(probabilities[:, order], asked[:, order]) == object_scores(
        probabilities, asked
    )


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        object_scores(torch.rand(2, 3), torch.ones(3, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="one shape"):
        object_scores(torch.rand(2, 3), torch.ones(2, 3))
    with pytest.raises(ValueError, match="one object or more"):
        object_scores(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="one object or more"):
        object_scores(torch.rand(2, 3), of([1, 0, 0], [0, 0, 0]).bool())
