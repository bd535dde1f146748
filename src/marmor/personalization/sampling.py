"""Drawing with a text-to-image pipeline, a picture at a time, by one prompt or by several in their places."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Script:
    """What a picture is drawn by.

    Args:
        states: the text encoder's, of P prompts, (P, L, D).
        nothing: of the empty prompt, (1, L, D).
        shares: which prompt speaks for which place, (P, h, w), adding up to 1.
        guidance: the scale s of u + s (c − u) (Ho & Salimans 2021); at 1 the empty prompt is not asked.
    """

    states: Tensor
    nothing: Tensor
    shares: Tensor
    guidance: float


@dataclass(frozen=True)
class Background:
    """What stands around each prompt's place in the first steps, so that its object comes to lie inside.

    MultiDiffusion's bootstrapping (Bar-Tal et al. 2023, section 4.2): there plain colours, noised like the
    picture.

    Args:
        latents: of what stands there, (P, C, h, w).
        until: the share of the steps, in [0, 1].
        stream: of the noise.
    """

    latents: Tensor
    until: float
    stream: torch.Generator


def encode(pipeline: Any, prompt: str) -> Tensor:
    """A prompt, new words in it, as the text encoder's states (1, L, D); "" is the empty prompt."""
    return pipeline.encode_prompt(prompt, pipeline.device, 1, False)[0]


def denoise(
    pipeline: Any,
    scheduler: Any,
    script: Script,
    steps: int,
    stream: torch.Generator,
    background: Background | None = None,
) -> Iterator[Tensor]:
    """The latents (1, C, h, w) after each call of the network; noise comes from ``stream``.

    Predictions are put together by the prompts' shares. Solvers are affine in the prediction, place by place,
    so this is MultiDiffusion's mean of their next states (Bar-Tal et al. 2023, equation 5). With one prompt
    every number is that of diffusers' own pipeline, bit for bit.

    ``scheduler`` is changed; two pictures at a time need two.
    """
    unet, device = pipeline.unet, script.states.device
    shape = (1, unet.config.in_channels, *script.shares.shape[1:])
    scheduler.set_timesteps(steps, device=device)
    x = torch.randn(shape, generator=stream).to(device) * scheduler.init_noise_sigma
    taken = inspect.signature(scheduler.step).parameters
    further = {"generator": stream} if "generator" in taken else {}
    for place, t in enumerate(scheduler.timesteps):
        seen = x
        if background is not None and place < background.until * len(scheduler.timesteps):
            seen = _apart(x, scheduler, script.shares, background, t)
        predicted = (script.shares[:, None] * _guided(unet, scheduler, script, seen, t)).sum(0)
        x = scheduler.step(predicted[None], t, x, **further, return_dict=False)[0]
        yield x


def decode(pipeline: Any, latents: Tensor) -> Tensor:
    """Latents (N, C, h, w) → pictures (N, 3, H, W), nominally in [-1, 1]."""
    return pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor, return_dict=False)[0]


def latents_of(pipeline: Any, pictures: Tensor) -> Tensor:
    """Pictures (N, 3, H, W) in [-1, 1] → the means of their latents, (N, C, h, w)."""
    return pipeline.vae.encode(pictures).latent_dist.mean * pipeline.vae.config.scaling_factor


def _guided(unet: Any, scheduler: Any, script: Script, seen: Tensor, t: Tensor) -> Tensor:
    """Each prompt's prediction (P, C, h, w) for latents (1 or P, C, h, w), guided, in one call."""
    count, unasked = len(script.states), script.guidance == 1
    rows = [seen.expand(count, -1, -1, -1)]
    states = [script.states]
    if not unasked:
        rows.insert(0, seen)
        states.insert(0, script.nothing.expand(len(seen), -1, -1))
    said = unet(
        scheduler.scale_model_input(torch.cat(rows), t),
        t,
        encoder_hidden_states=torch.cat(states),
        return_dict=False,
    )[0]
    if unasked:
        return said
    nothing, asked = said[: len(seen)], said[len(seen) :]
    return nothing + script.guidance * (asked - nothing)


def _apart(x: Tensor, scheduler: Any, shares: Tensor, background: Background, t: Tensor) -> Tensor:
    """Latents (P, C, h, w) as each prompt sees them: the picture in its places, elsewhere the background."""
    noise = torch.randn(background.latents.shape, generator=background.stream).to(x.device)
    around = scheduler.add_noise(background.latents, noise, t[None].expand(len(noise)))
    return torch.where(shares[:, None] > 0, x, around)
