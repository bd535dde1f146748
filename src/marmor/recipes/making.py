"""Data sets that are made, not found: `marmor data make`."""

from pathlib import Path

from marmor.base.errors import refuse
from marmor.base.progress import console, progress_bar
from marmor.data import (
    draw_lists,
    make_house_numbers,
    make_mnist_m,
    objects_of,
    photographs,
    read,
    read_lists,
    read_photographs,
    require_classes,
    write_captioned,
    write_scenes,
    write_splits,
)
from marmor.data.scenes import OBJECTS

SCENES = 6003
"""Scenes of i-CLEVR, with three pictures each."""


def mnist_m(
    digits_spec: str,
    photos: Path | None,
    count: int | None,
    seed: int,
    full: bool,
    without: str | None,
    out: Path,
) -> None:
    """Makes MNIST-M, train and test, from digits and photographs."""
    backgrounds = photographs() if photos is None else read_photographs(photos)
    train, test = (read(digits_spec, split) for split in ("train", "test"))
    for source in (train, test):
        require_classes(source)
    if without is not None:
        train = train.without(read(without, "test"))
        console.print(f"training digits: {train.notes[-1]}")
    splits = {
        "train": make_mnist_m(train, backgrounds, seed, full, count),
        "test": make_mnist_m(test, backgrounds, seed + 1, full),
    }
    write_splits(splits, out)
    sizes = ", ".join(f"{len(images):,} {split}" for split, images in splits.items())
    console.print(f"made {sizes} images from {len(backgrounds)} photographs → {out}")


def house_numbers(count: int, test: int, seed: int, out: Path) -> None:
    """Makes synthetic street digits, train and test, from typefaces."""
    with progress_bar("rendering") as bar:
        whole = count + test
        splits = {
            "train": make_house_numbers(count, seed, lambda share: bar(share * count / whole)),
            "test": make_house_numbers(
                test, seed + 1, lambda share: bar((count + share * test) / whole)
            ),
        }
    write_splits(splits, out)
    console.print(f"made {count:,} train, {test:,} test images → {out}")


def scenes(
    count: int | None, spec: Path | None, shapes: str | None, side: int, seed: int, out: Path
) -> None:
    """Renders scenes of coloured solids in i-CLEVR's layout, of its lists or of drawn ones.

    Raises UserError also for unknown shapes, and a count or shapes beside lists, which say what is drawn.
    """
    if spec is None:
        objects = OBJECTS if shapes is None else objects_of(shapes)
        lists = draw_lists(SCENES if count is None else count, seed, objects)
    else:
        refuse(f"the lists of {spec} say what is drawn", shapes=shapes, count=count)
        lists = read_lists(spec)
    with progress_bar("rendering") as bar:
        write_scenes(lists, out, seed, side, bar)
    asked = ", ".join(
        f"{len(scenes)} requests in {name}.json" for name, scenes in lists.requests.items()
    )
    console.print(f"rendered {len(lists.pictures):,} pictures, {asked} → {out}")


def captioned_scenes(count: int, each: int, side: int, seed: int, out: Path) -> None:
    """Renders scenes with captions, and pictures of the objects that they never show."""
    with progress_bar("rendering") as bar:
        write_captioned(count, each, out, seed, side, bar)
    console.print(
        f"rendered {count:,} pictures and their captions.json → {out}; what they never show: "
        f"{out / 'unseen'}, {out / 'new'}"
    )
