"""Perfect denoisers of known distributions, to hold samplers against solutions."""

from collections.abc import Callable

from torch import Tensor

from marmor.diffusion.predictions import Estimate, ImagePrediction, levels
from marmor.diffusion.schedules import Schedule


def exact_denoiser(
    schedule: Schedule, means: Tensor, stds: Tensor, weights: Tensor
) -> Callable[[Tensor, Tensor], Estimate]:
    """The expected image and noise, given x_t, of images from a mixture of K Gaussians.

    Args:
        schedule: levels of signal and noise.
        means: of the components, (K, C, H, W).
        stds: their standard deviations, the same for every value, (K,); 0 is a point mass.
        weights: their shares, (K,), adding up to 1.

    The estimate is in float64 whatever the types: images of component k expect
    m_k + alpha·s_k²/(alpha²·s_k² + sigma²)·(x − alpha·m_k), and the components weigh as much as
    Bayes' rule says.
    """
    means, stds, weights = (values.double() for values in (means, stds, weights))
    stds = stds[:, None, None, None]

    def denoise(x: Tensor, t: Tensor) -> Estimate:
        at = levels(schedule, t.double())
        y, alpha, sigma = (values.double().unsqueeze(1) for values in (x, *at))
        variance = (alpha * stds) ** 2 + sigma**2
        offset = y - alpha * means
        logs = -0.5 * (offset**2 / variance + variance.log()).sum((2, 3, 4))
        posterior = (weights.log() + logs).softmax(1)[:, :, None, None, None]
        image = (posterior * (means + alpha * stds**2 / variance * offset)).sum(1)
        return ImagePrediction().estimate(image, x, at)

    return denoise
