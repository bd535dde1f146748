"""Adaptive augmentation: it rises against a critic that knows too much, and falls again."""

import pytest
import torch

from marmor.adversarial import adapted


def test_it_rises_above_the_target_and_falls_below() -> None:
    middle = torch.tensor(0.5)
    assert adapted(middle, accuracy=0.81, images=1000).item() == pytest.approx(0.51)
    assert adapted(middle, accuracy=0.79, images=1000).item() == pytest.approx(0.49)


def test_it_stays_between_nothing_and_what_generators_bear() -> None:
    strength = torch.zeros(())
    assert adapted(strength, accuracy=0.5, images=64).item() == 0
    for _ in range(2000):
        strength = adapted(strength, accuracy=1.0, images=64)
    assert strength.item() == pytest.approx(0.8)
