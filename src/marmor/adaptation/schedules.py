"""How adversarial weight and learning rate follow progress p in [0, 1], as DANN publishes them."""

import math


def adversarial_weight(p: float, gamma: float = 10.0) -> float:
    """2 / (1 + exp(−gamma·p)) − 1: from 0 to nearly 1 (Ganin et al. 2016, section 5.2.2)."""
    return 2 / (1 + math.exp(-gamma * p)) - 1


def annealed_rate(p: float, alpha: float = 10.0, beta: float = 0.75) -> float:
    """The factor (1 + alpha·p)^−beta on the first learning rate (the same section)."""
    return (1 + alpha * p) ** -beta
