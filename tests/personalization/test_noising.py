"""What the network is trained for, against the definitions."""

import pytest
import torch
from torch import Tensor

from marmor.base.errors import UserError
from marmor.personalization.noising import (
    require_target,
    spread_steps,
    squared_error,
    training_target,
)

peers = pytest.importorskip("diffusers")

STEPS = torch.tensor([0, 400, 999])


def normal(seed: int) -> Tensor:
    return torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


LATENTS, NOISE = normal(0), normal(1)


def scheduler(kind: str):
    return peers.DDPMScheduler(prediction_type=kind)


def test_velocity_noise_and_latents_follow_from_each_other() -> None:
    power = scheduler("epsilon").alphas_cumprod[STEPS].view(3, 1, 1, 1)
    targets = {
        kind: training_target(scheduler(kind), LATENTS, NOISE, STEPS)
        for kind in ("epsilon", "v_prediction", "sample")
    }
    assert torch.equal(targets["epsilon"], NOISE)
    assert torch.equal(targets["sample"], LATENTS)
    noised = power.sqrt() * LATENTS + (1 - power).sqrt() * NOISE
    velocity = targets["v_prediction"]
    assert torch.allclose(power.sqrt() * noised - (1 - power).sqrt() * velocity, LATENTS, atol=1e-4)


def test_other_predictions_are_refused() -> None:
    require_target(scheduler("v_prediction"))
    with pytest.raises(UserError, match="predicts 'flow'"):
        require_target(scheduler("flow"))


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_the_error_is_that_of_the_network_on_noised_latents(kind: str, pipeline) -> None:
    table = scheduler(kind)
    states = torch.randn(3, 5, 32, generator=torch.Generator().manual_seed(2))
    power = table.alphas_cumprod[STEPS].view(3, 1, 1, 1)
    noised = power.sqrt() * LATENTS + (1 - power).sqrt() * NOISE
    target = NOISE if kind == "epsilon" else power.sqrt() * NOISE - (1 - power).sqrt() * LATENTS
    with torch.no_grad():
        said = pipeline.unet(noised, STEPS, encoder_hidden_states=states).sample
        found = squared_error(pipeline.unet, table, LATENTS, states, NOISE, STEPS)
    assert found.shape == (3,)
    assert torch.allclose(found, (said - target).square().flatten(1).mean(1), rtol=1e-4)


def test_steps_are_evenly_apart_and_each_is_any_step() -> None:
    stream = torch.Generator().manual_seed(0)
    drawn = torch.stack([spread_steps(100, 8, stream) for _ in range(4_000)])
    assert drawn.dtype == torch.int64
    assert ((drawn.diff() == 12) | (drawn.diff() == 13)).all()
    counts = drawn.flatten().bincount(minlength=100)
    assert len(counts) == 100
    assert (counts - 320).abs().max() < 5 * 320**0.5
    assert spread_steps(1, 3, stream).tolist() == [0, 0, 0]
