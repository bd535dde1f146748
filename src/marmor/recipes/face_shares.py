"""How often one face is found: in what a model draws, in real images, and in noise."""

from dataclasses import dataclass

import torch
from torch import Tensor

from marmor.base.pixels import to_bytes
from marmor.base.seeds import torch_stream
from marmor.data import ImageSet, read
from marmor.metrics import Share, count_faces, share


@dataclass(frozen=True)
class FaceShares:
    """Shares of images in which the detector finds exactly one face, with 95 % intervals."""

    drawn: Share
    real: Share
    noise: Share
    real_images: str
    """Which real images: held-out ones, or those of training where there are no others."""

    def figures(self) -> dict[str, float]:
        """Flat figures under dotted names."""
        return {
            "faces.share": self.drawn.value,
            "faces.share.low": self.drawn.low,
            "faces.share.high": self.drawn.high,
            "faces.images": self.drawn.count,
            "faces.real": self.real.value,
            "faces.real.images": self.real.count,
            "faces.noise": self.noise.value,
        }


def face_shares(drawn: Tensor, data: str, real: str | None) -> FaceShares:
    """``drawn`` is uint8 (N, C, H, W); at most N real images are looked at, and N of noise.

    ``real`` names held-out images; without it, those of ``data`` that training did not see.
    """
    images, what = _held_out(data, real, drawn.shape[2])
    noise = to_bytes(torch.randn(drawn.shape, generator=torch_stream(0, "faces", "noise")))
    few = images.take(range(min(len(images), len(drawn)))).images
    return FaceShares(_share(drawn), _share(few), _share(noise), what)


def _share(images: Tensor) -> Share:
    hits = count_faces(images) == 1
    return share(int(hits.sum()), len(hits))


def _held_out(data: str, real: str | None, side: int) -> tuple[ImageSet, str]:
    if real is not None:
        return read(real, "test", side), f"images of {real}"
    train, test = (read(data, split, side) for split in ("train", "test"))
    same = train.fingerprint() == test.fingerprint()
    return test, "training images, since there are no others" if same else "held-out images"
