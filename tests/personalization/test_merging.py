"""Custom Diffusion's merge against the system of equations that defines it."""

import pytest
import torch
from torch import Tensor

from marmor.base.errors import UserError
from marmor.personalization.merging import Merged, constrain, merge

D, OUT = 12, 7


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


W0, K, KT, VT = (
    normal(OUT, D, seed=0),
    normal(40, D, seed=1),
    normal(3, D, seed=2),
    normal(3, OUT, seed=3),
)


def merged(
    weight: Tensor = W0, regular: Tensor = K, inputs: Tensor = KT, values: Tensor = VT
) -> Merged:
    return merge(weight, values, constrain(regular, inputs))


def by_lagrange(C: Tensor, Kt: Tensor, Vt: Tensor) -> Tensor:
    """Where the gradient of the Lagrangian vanishes: one linear system, no formula of the solution."""
    m = len(Kt)
    system = torch.cat(
        [
            torch.cat([2 * C, Kt.T], dim=1),
            torch.cat([Kt, torch.zeros(m, m, dtype=C.dtype)], dim=1),
        ]
    )
    return torch.linalg.solve(system, torch.cat([2 * C @ W0.T, Vt]))[:D].T


def test_it_is_the_solution_of_the_lagrangian() -> None:
    found = merged()
    assert torch.allclose(found.weight, by_lagrange(K.T @ K, KT, VT), atol=1e-10)
    assert found.residual < 1e-12
    assert constrain(K, KT).ridge == 0
    assert constrain(K, KT).rank == 3


def test_no_other_weight_that_meets_the_constraints_moves_the_captions_less() -> None:
    best = merged().weight
    cost = ((best - W0) @ K.T).square().sum()
    free = torch.eye(D, dtype=torch.float64) - torch.linalg.pinv(KT) @ KT
    for seed in range(5):
        other = best + 0.01 * normal(OUT, D, seed=10 + seed) @ free
        assert torch.allclose(other @ KT.T, VT.T)
        assert ((other - W0) @ K.T).square().sum() > cost


def test_answers_that_are_met_already_change_nothing() -> None:
    assert torch.allclose(merged(values=KT @ W0.T).weight, W0, atol=1e-12)


def test_the_order_of_the_concepts_changes_nothing() -> None:
    turned = merged(inputs=KT.flip(0), values=VT.flip(0))
    assert torch.allclose(turned.weight, merged().weight, atol=1e-12)


def test_too_few_captions_get_a_ridge_and_the_constraints_hold_all_the_same() -> None:
    few = K[:5]
    found = constrain(few, KT)
    assert found.ridge == pytest.approx(1e-6 * few.square().sum().item() / D)
    weight = merge(W0, VT, found)
    assert weight.residual < 1e-9
    C = few.T @ few + found.ridge * torch.eye(D, dtype=torch.float64)
    assert torch.allclose(weight.weight, by_lagrange(C, KT, VT), atol=1e-6)


def test_words_that_repeat_count_once_and_words_that_contradict_are_told() -> None:
    twice = torch.cat([KT, KT[:1]])
    assert constrain(K, twice).rank == 3
    agreed = merged(inputs=twice, values=torch.cat([VT, VT[:1]]))
    assert torch.allclose(agreed.weight, merged().weight, atol=1e-10)
    assert agreed.residual < 1e-12
    at_odds = merged(inputs=twice, values=torch.cat([VT, -VT[:1]]))
    assert at_odds.residual > 0.1


def test_half_precision_is_solved_in_double_and_judged_as_rounded() -> None:
    half = merged(weight=W0.half())
    assert half.weight.dtype == torch.float16
    exact = merged(weight=W0.half().double()).weight
    assert torch.equal(half.weight, exact.half())
    assert 1e-5 < half.residual < 1e-2


def test_features_that_say_nothing_are_refused() -> None:
    with pytest.raises(UserError, match="give captions"):
        constrain(K[:0], KT)
    with pytest.raises(UserError, match="not finite"):
        constrain(K, KT / 0)
