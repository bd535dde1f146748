"""The autoencoder of a small pipeline: pictures to a few numbers for each small square, and back."""

from typing import Any

import torch
from torch import Tensor, nn

from marmor.base.cores import on_cores
from marmor.base.pixels import to_unit
from marmor.base.progress import progress_bar
from marmor.base.seeds import derive, torch_stream
from marmor.data import ImageSet, epoch_order
from marmor.data.augment import mirror_and_shift
from marmor.recipes.tiny_parts import LATENT_CHANNELS, PipelineSizes, autoencoder, optimizers_of
from marmor.training import Batch, Turn, warmup_then_linear

RECIPE = "tiny-autoencoder"
EMA = 0.995
BATCH = 16
DIVERGENCE = 1e-7
"""Weight of what keeps latents near a normal distribution, beside an error of pixels in [-1, 1]: so little
that no channel is given up. One that is, is noise that whatever learns from latents has to predict."""
READ_BATCH = 50


class Coding:
    """The loop's method: pictures mirrored and shifted, there and back (Kingma & Welling 2014)."""

    batch_size = BATCH

    def __init__(self, images: ImageSet, sizes: PipelineSizes, seed: int) -> None:
        torch.manual_seed(derive(seed, "weights", "autoencoder"))
        self.images, self.seed = images, seed
        self.dataset_size = len(images)
        self.side = images.size[0]
        self.latent_side = self.side // sizes.shrinks
        self.module: Any = autoencoder(sizes, self.side)
        self.turn = Turn(self.loss, optimizers_of(self.module))

    def turns(self, step: int) -> list[Turn]:
        return [self.turn]

    def draw(self, step: int, turn: int = 0) -> Batch:
        stream = torch_stream(self.seed, "autoencoder", step)
        chosen = epoch_order(step, self.batch_size, self.dataset_size, self.seed)
        shape = (self.batch_size, LATENT_CHANNELS, self.latent_side, self.latent_side)
        return {
            "image": mirror_and_shift(to_unit(self.images.images[chosen]), stream),
            "spread": torch.randn(shape, generator=stream),
        }

    def loss(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The mean error of a pixel, and the divergence of latents from N(0, 1), a mean over them."""
        coder: Any = module
        image = batch["image"]
        coded = coder.encode(image).latent_dist
        mean, variance = coded.mean.float(), coded.var.float()
        latents = mean + variance.sqrt() * batch["spread"]
        back = coder.decode(latents).sample.float()
        error = (back - image).abs().mean()
        divergence = (mean.square() + variance - variance.log() - 1).mean() / 2
        return {
            "loss": error + DIVERGENCE * divergence,
            "error": error,
            "divergence": divergence,
        }

    def rate(self, progress: float) -> float:
        return warmup_then_linear(progress)


def code(coder: Any, images: ImageSet) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each picture's latents, float32 (N, 4, S, S) each, unscaled."""

    @torch.inference_mode()
    def coded(part: Tensor) -> tuple[Tensor, Tensor]:
        found = coder.encode(to_unit(part)).latent_dist
        return found.mean, found.std

    with progress_bar("coding the pictures") as bar:
        found = on_cores(coded, images.images.split(READ_BATCH), bar)
    # Copies outside inference mode are those that training may use.
    return torch.cat([m for m, _ in found]).clone(), torch.cat([s for _, s in found]).clone()


@torch.no_grad()
def whiten(coder: Any, mean: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
    """Gives each channel of latents mean 0 and variance 1 over all pictures, which come back as before.

    ``mean`` and ``deviation`` as ``code`` has them; returned as they are from now on. What shifts and scales
    is taken into the 1×1 convolutions on either side of the latents, so that the file's format stays.
    """
    over = (0, 2, 3)
    centre = mean.mean(over)
    spread = (mean.var(over, correction=0) + deviation.square().mean(over)).sqrt()
    before, after, channels = coder.quant_conv, coder.post_quant_conv, len(centre)
    before.weight[:channels] /= spread[:, None, None, None]
    before.bias[:channels] = (before.bias[:channels] - centre) / spread
    before.bias[channels:] -= 2 * spread.log()  # logarithms of variances
    after.bias += after.weight[:, :, 0, 0] @ centre
    after.weight *= spread[None, :, None, None]
    wide, middle = spread[:, None, None], centre[:, None, None]
    return (mean - middle) / wide, deviation / wide


@torch.inference_mode()
def there_and_back(coder: Any, images: Tensor) -> Tensor:
    """uint8 (N, 3, S, S) as the autoencoder gives them back, in [-1, 1]."""
    parts = [
        coder.decode(coder.encode(to_unit(p)).latent_dist.mean).sample
        for p in images.split(READ_BATCH)
    ]
    return torch.cat(parts).clamp(-1, 1)
