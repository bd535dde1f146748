"""Adversarial training: objectives, penalties, augmentation that gradients pass through, signs of trouble."""

from marmor.adversarial.augmentation import DRAWS, augment
from marmor.adversarial.objectives import NonSaturating, Objective, Relativistic, Wasserstein
from marmor.adversarial.penalties import clip_weights, gradient_penalty, gradients

__all__ = [
    "DRAWS",
    "NonSaturating",
    "Objective",
    "Relativistic",
    "Wasserstein",
    "augment",
    "clip_weights",
    "gradient_penalty",
    "gradients",
]
