"""Adversarial training: objectives, penalties, augmentation that gradients pass through, signs of trouble."""

from marmor.adversarial.adaptive import adapted
from marmor.adversarial.augmentation import DRAWS, augment
from marmor.adversarial.objectives import NonSaturating, Objective, Relativistic, Wasserstein
from marmor.adversarial.penalties import clip_weights, gradient_penalty, gradients
from marmor.adversarial.schedules import CriticTurns
from marmor.adversarial.signs import Referee, Signs, spread

__all__ = [
    "DRAWS",
    "CriticTurns",
    "NonSaturating",
    "Objective",
    "Referee",
    "Relativistic",
    "Signs",
    "Wasserstein",
    "adapted",
    "augment",
    "clip_weights",
    "gradient_penalty",
    "gradients",
    "spread",
]
