"""`marmor data …`: look at data and make some."""

from pathlib import Path

from tyro.conf import Positional

from marmor.cli.arguments import Data
from marmor.recipes import making, running


def show(
    data: Positional[Data], split: str = "train", out: Path = Path("contact-sheet.png")
) -> None:
    """Tell what a data set is: counts, sizes, classes, ranges, fingerprint, a contact sheet.

    Example: marmor data show mnist-m

    Args:
        data: an embedded name or a path.
        split: train, val or test.
        out: the contact sheet, a PNG.
    """
    running.show_data(data, split, out)


def make_mnist_m(
    out: Path,
    digits: str = "digits",
    photos: Path | None = None,
    count: int | None = None,
    seed: int = 0,
    full: bool = False,
    without: str | None = None,
) -> None:
    """Make MNIST-M: digits that invert the photographs they lie on.

    Example: marmor data make mnist-m --digits mnist.npz --photos photos --out mnist-m.npz

    Args:
        out: an .npz file or a new folder.
        digits: grey digits with train and test splits; the embedded ones when left out.
        photos: a folder of photographs; the embedded ones when left out.
        count: training images to make; one for each digit when left out.
        seed: everything random follows from it.
        full: digits invert fully, without grey edges, as in the published test set.
        without: data whose test split (all of it, where it has no splits) is kept out of training.
    """
    making.mnist_m(digits, photos, count, seed, full, without, out)


def make_house_numbers(out: Path, count: int = 60_000, test: int = 10_000, seed: int = 0) -> None:
    """Make house numbers: synthetic street digits, colour 32×32.

    Example: marmor data make house-numbers --out house-numbers.npz

    Args:
        out: an .npz file or a new folder.
        count: training images to make.
        test: test images to make.
        seed: everything random follows from it.
    """
    making.house_numbers(count, test, seed, out)


def make_scenes(
    out: Path,
    spec: Path | None = None,
    count: int | None = None,
    shapes: str | None = None,
    size: int = 64,
    seed: int = 0,
) -> None:
    """Make scenes of coloured solids: three pictures of each scene, with one, two and three objects.

    Example: marmor data make scenes --spec iclevr --out scenes

    Args:
        out: a new folder: pictures, objects.json, train.json, test.json, new_test.json.
        spec: a folder with those four files, whose very lists are rendered; drawn lists when left out.
        count: scenes to draw lists for, 6,003 when left out, as i-CLEVR has.
        shapes: comma-separated, of cube, sphere, cylinder, cone, ring; the first three when left out.
        size: side of the pictures in pixels.
        seed: everything random follows from it.
    """
    making.scenes(count, spec, shapes, size, seed, out)


def make_captioned_scenes(
    out: Path, count: int = 6000, each: int = 25, size: int = 64, seed: int = 0
) -> None:
    """Make scenes with sentences that say what they show, and pictures of objects that they never show.

    Example: marmor data make captioned-scenes --out captioned

    Args:
        out: a new folder: pictures, captions.json, objects.json, train.json; unseen/, new/ and id2label.json.
        count: pictures to make.
        each: pictures of each object that is kept out of them.
        size: side of the pictures in pixels.
        seed: everything random follows from it.
    """
    making.captioned_scenes(count, each, size, seed, out)
