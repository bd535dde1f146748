"""How a pipeline's network attends in training."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from marmor.recipes import text_to_image
from marmor.recipes.text_to_image import attend_for_training


def attends(network: Any) -> str:
    (kind,) = {type(each).__name__ for each in network.attn_processors.values()}
    return kind


def test_small_networks_attend_plainly_in_bfloat16_and_say_the_same(pipeline: Any, draw) -> None:
    before = draw(pipeline, "a dog")
    attend_for_training(pipeline.unet, "bf16")
    assert attends(pipeline.unet) == "AttnProcessor"
    torch.testing.assert_close(draw(pipeline, "a dog"), before, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("precision", "device", "side"),
    [("fp32", "cpu", 16), ("bf16", "cuda", 16), ("bf16", "cpu", 64)],
)
def test_other_networks_attend_as_torch_does(
    pipeline: Any, monkeypatch, precision: Any, device: str, side: int
) -> None:
    monkeypatch.setattr(text_to_image, "processes", lambda: SimpleNamespace(device=device))
    pipeline.unet.register_to_config(sample_size=side)
    attend_for_training(pipeline.unet, precision)
    assert attends(pipeline.unet) == "AttnProcessor2_0"
