"""Training of chosen weights alone."""

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import pytest
import torch
from torch import Tensor

from marmor.personalization.chosen import ChosenWeights
from marmor.personalization.projections import projection_names


def said(network, *, by=None) -> Tensor:
    stream = torch.Generator().manual_seed(0)
    noised = torch.randn(2, 4, 8, 8, generator=stream)
    states = torch.randn(2, 5, 32, generator=stream)
    call = network if by is None else lambda *given, **named: by(network, *given, **named)
    return call(noised, torch.tensor([3, 700]), encoder_hidden_states=states).sample


def chosen(pipeline) -> ChosenWeights:
    pipeline.unet.requires_grad_(False)
    return ChosenWeights(pipeline.unet, projection_names(pipeline.unet))


def test_the_network_says_the_same_of_weights_beside_it_as_of_weights_written(pipeline) -> None:
    unet, weights = pipeline.unet, chosen(pipeline)
    before = said(unet)
    assert torch.equal(said(unet, by=weights), before)
    with torch.no_grad():
        for values in weights.parameters():
            values.add_(0.1)
    put_in = said(unet, by=weights)
    assert torch.equal(said(unet), before)
    weights.write(unet)
    assert torch.equal(said(unet), put_in)
    assert not torch.equal(put_in, before)


def test_only_chosen_weights_change_bit_for_bit_and_all_of_them_do(pipeline) -> None:
    unet, weights = pipeline.unet, chosen(pipeline)
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    optimizer = torch.optim.AdamW(weights.parameters(), lr=0.01, weight_decay=0.5)
    said(unet, by=weights).square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in weights.parameters())
    assert all(p.grad is None for p in unet.parameters())
    optimizer.step()
    assert all(torch.equal(value, before[name]) for name, value in unet.state_dict().items())
    weights.write(unet)
    changed = {n for n, value in unet.state_dict().items() if not torch.equal(value, before[n])}
    assert changed == set(weights.names)
    assert all(name.endswith(("attn2.to_k.weight", "attn2.to_v.weight")) for name in changed)


def test_threads_run_one_network_with_weights_of_their_own(pipeline) -> None:
    unet, one = pipeline.unet, chosen(pipeline)
    other = deepcopy(one)
    with torch.no_grad():
        for values in other.parameters():
            values.mul_(-1)
    alone = [said(unet, by=weights) for weights in (one, other)]
    assert not torch.equal(*alone)
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda weights: said(unet, by=weights), [one, other] * 6))
    assert all(torch.equal(found, alone[n % 2]) for n, found in enumerate(together))


def test_weights_that_are_not_there_are_an_error(pipeline) -> None:
    with pytest.raises(KeyError):
        ChosenWeights(pipeline.unet, ["mid_block.nothing"])
