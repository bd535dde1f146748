import math

import pytest
import torch
from torch.nn import functional as F

from marmor.adaptation import (
    agreement_where_surest,
    balance,
    certainty,
    information,
    neighbourhood_density,
    shared_information,
    source_accuracy,
)

CLASSES = 5


def sure(labels):
    return 50.0 * torch.nn.functional.one_hot(labels, CLASSES)


def test_a_collapsed_network_fools_all_but_information():
    """The oracle: a constant, certain answer is the best that entropy and density can see."""
    collapsed = sure(torch.zeros(40, dtype=torch.long))
    good = sure(torch.arange(40) % CLASSES)
    assert certainty(collapsed) == pytest.approx(certainty(good), abs=1e-6)
    assert certainty(collapsed) == pytest.approx(0, abs=1e-6)
    assert information(collapsed) == pytest.approx(0, abs=1e-6)
    assert information(good) == pytest.approx(math.log(CLASSES), abs=1e-6)
    same, clusters = torch.ones(40, 8), torch.eye(8)[torch.arange(40) % CLASSES]
    assert neighbourhood_density(same) == pytest.approx(math.log(39), abs=1e-5)
    assert neighbourhood_density(same) > neighbourhood_density(clusters)


def test_information_is_balance_and_certainty():
    logits = torch.randn(100, CLASSES, generator=torch.Generator().manual_seed(0))
    p = logits.softmax(1)
    joint = (p * (p / p.mean(0)).log()).sum(1).mean().item()
    assert information(logits) == pytest.approx(joint, abs=1e-6)
    assert information(torch.zeros(4, CLASSES)) == pytest.approx(0, abs=1e-6)
    assert balance(torch.zeros(4, CLASSES)) == pytest.approx(math.log(CLASSES))


def test_shared_information_is_that_of_the_joint_answers():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 100, CLASSES, generator=generator)
    p, q = first.softmax(1), second.softmax(1)
    joint = (p[:, :, None] * q[:, None] + q[:, :, None] * p[:, None]).mean(0) / 2
    alone = joint.sum(0)
    known = (joint * (joint / (alone[:, None] * alone)).log()).sum().item()
    assert shared_information(first, second) == pytest.approx(known, abs=1e-5)


def test_sure_answers_that_do_not_stay_share_nothing():
    """What information alone cannot see: answers are sure, and no view tells those to the other."""
    labels = torch.arange(CLASSES * CLASSES)
    sure_of_each = sure(labels % CLASSES)
    assert shared_information(sure_of_each, sure_of_each) == pytest.approx(
        math.log(CLASSES), abs=1e-6
    )
    assert shared_information(sure_of_each, sure(labels // CLASSES)) == pytest.approx(0, abs=1e-6)
    assert information(sure(labels // CLASSES)) == pytest.approx(math.log(CLASSES), abs=1e-6)


def test_density_counts_neighbours_not_oneself():
    pairs = torch.eye(6).repeat_interleave(2, 0)
    assert neighbourhood_density(pairs, temperature=0.01) == pytest.approx(0, abs=1e-6)


def test_source_accuracy():
    labels = torch.tensor([0, 1, 2, 3])
    assert source_accuracy(sure(torch.tensor([0, 1, 2, 0])), labels) == 0.75


def test_agreement_looks_at_what_the_unadapted_network_is_surest_of_in_each_class():
    classes, each = 5, 20
    before = F.one_hot(torch.arange(classes).repeat_interleave(each), classes).float()
    before *= torch.linspace(1, 9, each).repeat(classes)[:, None]
    exchanged = before[:, [1, 0, 2, 3, 4]]
    assert agreement_where_surest(before, before) == 1.0
    assert agreement_where_surest(exchanged, before) == pytest.approx(3 / 5)
    # Neither what it was unsure of nor how often it says a class counts.
    corrected = before.clone()
    unsure = torch.arange(each * classes) % each < 0.8 * each
    corrected[unsure] = before[unsure].roll(1, 1)
    assert agreement_where_surest(corrected, before, 0.2) == 1.0
    assert agreement_where_surest(corrected, before, 0.5) == pytest.approx(4 / 10)
    rare = before[: each + 1]
    assert agreement_where_surest(rare.roll(1, 1), rare) == 0.0
    assert agreement_where_surest(torch.cat([rare[:each], -rare[each:]]), rare) == pytest.approx(
        2 / 3
    )
