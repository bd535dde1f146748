"""How often one face is found: in what a model draws, in real images, and in noise."""

from dataclasses import dataclass

import torch
from torch import Tensor

from marmor.base.cache import kept_json
from marmor.base.errors import UserError
from marmor.base.pixels import to_bytes
from marmor.base.progress import progress_bar
from marmor.base.seeds import torch_stream
from marmor.data import ImageSet, read
from marmor.metrics import ENLARGED, Share, count_faces, share
from marmor.recipes.scoring import with_interval

COUNTING = f"1-{ENLARGED}"
"""Of how faces are counted; another one makes the cache count them anew."""
BATCH = 32
HOW = {
    "faces.detector": "dlib HOG, no further up-sampling",
    "faces.enlarged": f"bicubic, shorter side {ENLARGED}",
}
"""How images come to the detector, for summary.json."""


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
            **HOW,
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


def face_shares(drawn: Tensor, real: RealFaces, count: int | None = None) -> FaceShares:
    """``drawn`` is uint8 (N, C, H, W), beside up to ``count`` real images, chosen at random, and of noise.

    ``count``: N when left out.
    """
    count = count or len(drawn)
    order = torch.randperm(len(real.images), generator=torch_stream(0, "faces", "real"))
    some = real.images.take(order[:count]).images
    shape = (count, *drawn.shape[1:])
    noise = to_bytes(torch.randn(shape, generator=torch_stream(0, "faces", "noise")))
    return FaceShares(
        _share(drawn, "generated images"),
        _share(some, "real images"),
        _share(noise, "noise"),
        real.what,
    )


def _share(images: Tensor, title: str) -> Share:
    key = ("faces", COUNTING, ImageSet(images).fingerprint())
    found = kept_json(key, lambda: _counted(images, title))
    return share(found.count(1), len(found))


def _counted(images: Tensor, title: str) -> list[int]:
    """Faces of each image, with a bar: a thousand of them take half a minute."""
    found: list[int] = []
    with progress_bar(f"faces in {title}") as bar:
        for batch in images.split(BATCH):
            found += count_faces(batch).tolist()
            bar(len(found) / len(images))
    return found
