"""What a text-to-image network is trained for, whatever its scheduler predicts."""

from typing import Any

import torch
from torch import Tensor

from marmor.base.errors import UserError

PREDICTIONS = ("epsilon", "v_prediction", "sample")


def require_target(scheduler: Any) -> None:
    """UserError where the network predicts what cannot be trained here."""
    if (kind := scheduler.config.prediction_type) not in PREDICTIONS:
        raise UserError(
            f"the pipeline's network predicts {kind!r}; known are {', '.join(PREDICTIONS)}."
        )


def spread_steps(times: int, count: int, stream: torch.Generator) -> Tensor:
    """Steps of noise from 0 to times - 1, int64 (count,), evenly apart from a random one on.

    Each is as likely to be any step as any other; together they differ less from one batch to the next than
    as many drawn apart (Kingma et al. 2021, appendix I.1).
    """
    shares = (torch.arange(count) + torch.rand(1, generator=stream)) / count
    return (shares * times).long().clamp(max=times - 1)


def training_target(scheduler: Any, latents: Tensor, noise: Tensor, steps: Tensor) -> Tensor:
    """What the network should say of noised latents (B, C, H, W): noise, velocity or the latents themselves.

    ``steps`` is int64 (B,), from 0. The velocity is √ᾱ noise − √(1 − ᾱ) latents (Salimans & Ho 2022).
    """
    kind = scheduler.config.prediction_type
    if kind == "v_prediction":
        return scheduler.get_velocity(latents, noise, steps)
    return noise if kind == "epsilon" else latents


def squared_error(
    unet: Any, scheduler: Any, latents: Tensor, states: Tensor, noise: Tensor, steps: Tensor
) -> Tensor:
    """The mean squared error (B,) of the network given text states (B, L, D) at ``steps`` (B,)."""
    noised = scheduler.add_noise(latents, noise, steps)
    said = unet(noised, steps, encoder_hidden_states=states).sample
    target = training_target(scheduler, latents, noise, steps)
    return (said.float() - target).square().mean((1, 2, 3))
