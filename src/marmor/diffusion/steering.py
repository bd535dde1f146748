"""Steering by a judge: classifier guidance (Dhariwal & Nichol 2021) as a wrapper around a denoiser."""

from collections.abc import Callable

import torch
from torch import Tensor

from marmor.base.conditions import Conditions
from marmor.diffusion.denoisers import Denoise
from marmor.diffusion.predictions import Estimate, following, levels
from marmor.diffusion.schedules import Schedule

LogLikelihood = Callable[[Tensor, Conditions], Tensor]
"""(images (B, C, H, W), conditions) → log-likelihood of what each is asked to show, given it alone, (B,)."""

MOST_NOISE = 20.0
"""The ratio of noise to signal beyond which nothing is steered: an estimate of so noisy an image shows no
objects yet, and the gradient of a network, divided by so little signal, is mostly error."""


def steer(
    denoise: Denoise,
    log_likelihood: LogLikelihood,
    scale: float,
    schedule: Schedule,
    low: float = 0.0,
    high: float = 1.0,
) -> Denoise:
    """image + scale · sigma²/alpha · ∇_{x_t} log p(asked | image), while ``low <= t <= high``.

    That is noise − scale · sigma · ∇_{x_t} log p(asked | x_t) (Dhariwal & Nichol 2021, eq. 14), told of the
    image; the noise estimate follows it. A judge of clean images reads the image estimate in place of x_t
    (Chung et al. 2023, theorem 1; the forward guidance of Bansal et al. 2023).

    Scale 1 is Bayes' rule: by Tweedie's formula the image moves by its covariance given x_t, times the
    gradient of the log-likelihood. Exact where the likelihood is log-linear over what the image may still be.
    Scale 0 is the denoiser itself and costs no gradient; any other costs one, through the denoiser too. All
    images share one time.
    """
    if scale == 0:
        return denoise

    def steered(x: Tensor, t: Tensor, conditions: Conditions) -> Estimate:
        at = levels(schedule, t)
        too_noisy = float(at.noise[0]) > MOST_NOISE * float(at.signal[0])
        if too_noisy or not low <= float(t[0]) <= high:
            return denoise(x, t, conditions)
        image, gradient = _image_and_gradient(denoise, log_likelihood, x, t, conditions)
        return following(image + scale * at.noise**2 / at.signal * gradient, x, t, schedule)

    return steered


def _image_and_gradient(
    denoise: Denoise, log_likelihood: LogLikelihood, x: Tensor, t: Tensor, conditions: Conditions
) -> tuple[Tensor, Tensor]:
    """The image estimate, and the gradient of its log-likelihood with respect to x_t, both like x_t."""
    # Samplers run in inference mode. Its tensors take no part in gradients, copies made outside of it do.
    with torch.inference_mode(False), torch.enable_grad():
        x, t = x.clone().requires_grad_(), t.clone()
        asked = {name: values.clone() for name, values in conditions.items()}
        image = denoise(x, t, asked).image
        # No image depends on another, so the gradient of the sum holds the gradient of each.
        [gradient] = torch.autograd.grad(log_likelihood(image, asked).sum(), x)
    return image.detach(), gradient
