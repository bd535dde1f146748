"""How often one face is found: in what a model draws, in real images, and in noise."""

from dataclasses import dataclass

import torch
from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.pixels import to_bytes
from marmor.base.seeds import torch_stream
from marmor.data import ImageSet, read
from marmor.metrics import Share, count_faces, share
from marmor.recipes.scoring import with_interval


@dataclass(frozen=True)
class RealFaces:
    """Real images to compare with, and in words which ones they are."""

    images: ImageSet
    what: str


@dataclass(frozen=True)
class FaceShares:
    """Shares of images in which the detector finds exactly one face, with 95 % intervals."""

    drawn: Share
    real: Share
    noise: Share
    what: str
    """Which real images they were."""

    def figures(self) -> dict[str, float | str]:
        """Flat figures under dotted names."""
        return {
            **with_interval("faces.share", self.drawn),
            "faces.images": self.drawn.count,
            **with_interval("faces.share.real", self.real),
            "faces.real.images": self.real.count,
            "faces.real.which": self.what,
            **with_interval("faces.share.noise", self.noise),
        }


def real_faces(data: str, real: str | None, side: int) -> RealFaces:
    """``real``; without it the test split of ``data``; where it has none, its training images."""
    if real is not None:
        return RealFaces(read(real, "test", side), f"images of {real}")
    train = read(data, "train", side)
    try:
        test = read(data, "test", side)
    except UserError:  # splits, but none called test
        test = train
    if test.fingerprint() == train.fingerprint():
        return RealFaces(train, "training images, since there are no others")
    return RealFaces(test, "held-out images")


def face_shares(drawn: Tensor, real: RealFaces) -> FaceShares:
    """``drawn`` is uint8 (N, C, H, W), held against up to N real images, chosen at random, and N of noise."""
    order = torch.randperm(len(real.images), generator=torch_stream(0, "faces", "real"))
    some = real.images.take(order[: len(drawn)]).images
    noise = to_bytes(torch.randn(drawn.shape, generator=torch_stream(0, "faces", "noise")))
    return FaceShares(_share(drawn), _share(some), _share(noise), real.what)


def _share(images: Tensor) -> Share:
    hits = count_faces(images) == 1
    return share(int(hits.sum()), len(hits))
