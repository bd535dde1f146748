"""The order in which training visits images."""

import torch

from marmor.data import epoch_order


def test_every_epoch_sees_every_image_once() -> None:
    order = torch.cat([epoch_order(step, 7, 20, seed=0) for step in range(20)])
    for epoch in range(7):
        assert sorted(order[20 * epoch : 20 * epoch + 20].tolist()) == list(range(20))
    assert order[:20].tolist() != order[20:40].tolist()


def test_a_batch_larger_than_the_data_goes_round() -> None:
    order = epoch_order(0, 50, 20, seed=0)
    assert len(order) == 50
    assert sorted(order[:20].tolist()) == list(range(20))
