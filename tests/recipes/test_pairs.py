"""Two sets brought together: what is reconciled, told, refused, and never read."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from marmor.base.errors import UserError
from marmor.data import ImageSet, write_splits
from marmor.recipes.pairs import bring_together, load_pair

PER_CLASS = 20


def images(count: int, seed: int, channels: int = 1) -> ImageSet:
    """Noise of two classes."""
    stream = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 255, (count, channels, 16, 16), generator=stream, dtype=torch.uint8)
    return ImageSet(pixels, {"class": torch.arange(count) % 2}, {"class": ("a", "b")})


def course(path: Path, **parts: ImageSet) -> str:
    write_splits(parts, path)
    return str(path)


def write(path: Path, count: int, classes: list[int], **changes) -> str:
    pixels = np.random.default_rng(0).integers(0, 255, (count, 16, 16), dtype=np.uint8)
    labels = np.resize(classes, count)
    np.savez(path, **{"images": pixels, "labels": labels, **changes})
    return str(path)


def test_grey_and_colour_and_other_sizes_are_reconciled_and_told(tmp_path):
    target = write(tmp_path / "target.npz", 60, list(range(10)))
    pair = load_pair("mnist-m", target, None, 0)
    assert pair.source.images.shape[1:] == pair.target.images.shape[1:] == (3, 28, 28)
    assert any("resized from 16×16 to 28×28" in note for note in pair.notes)
    assert not pair.target.labels
    assert not pair.target.names


@pytest.mark.parametrize("odd", ["source train", "source val", "target train", "target test"])
def test_one_split_in_colour_makes_all_of_them_colour(odd):
    def sets(who: str) -> dict[str, ImageSet]:
        return {
            split: images(40, seed, 3 if odd == f"{who} {split}" else 1)
            for seed, split in enumerate(("train", "val", "test"))
        }

    pair = bring_together(sets("source"), sets("target"), seed=0)
    assert pair.truth.test is not None
    every = (pair.source, pair.source_val, pair.target, pair.target_val, pair.truth.test)
    assert {each.channels for each in every} == {3}
    assert any("Grey images became colour" in note for note in pair.notes)


def test_where_test_labels_are_kept_back_the_table_reads_held_out_images(tmp_path):
    """As a course hands it out: train.csv and val.csv with labels, test.csv without."""
    source = course(tmp_path / "source", train=images(40, 0))
    hidden = images(30, 3).unlabelled()
    target = course(tmp_path / "target", train=images(40, 1), val=images(20, 2), test=hidden)
    pair = load_pair(source, target, None, 0)
    assert pair.truth.test is not None
    assert torch.equal(pair.truth.test.images, pair.target_val.images)
    assert torch.equal(pair.truth.test.labels["class"], pair.truth.val)
    assert any("its test images have no labels" in note for note in pair.notes)
    held = pair.labelled_val()
    assert held is not None
    assert torch.equal(held.images, pair.target_val.images)
    assert torch.equal(held.labels["class"], pair.truth.test.labels["class"])
    assert held.class_names == pair.class_names
    bare = course(tmp_path / "bare", train=images(40, 1).unlabelled(), test=hidden)
    pair = load_pair(source, bare, None, 0)
    assert (pair.truth.train, pair.truth.val, pair.truth.test) == (None, None, None)
    assert pair.labelled_val() is None


def folders(path: Path, seed: int) -> str:
    """Class folders of train and val, in which a seed says which image lies in which class."""
    for split in ("train", "val"):
        pixels = images(2 * PER_CLASS, 7 if split == "train" else 8).images[:, 0].numpy()
        order = np.random.default_rng(seed).permutation(len(pixels))
        for place, number in enumerate(order):
            folder = path / split / ("a", "b")[place % 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[number]).save(folder / f"{place:03d}.png")
    return str(path)


def test_the_targets_order_follows_from_pixels_alone(tmp_path):
    source = course(tmp_path / "source", train=images(40, 0))
    pairs = [load_pair(source, folders(tmp_path / f"{seed}", seed), None, 0) for seed in (0, 1)]
    for name in ("target", "target_val"):
        first, second = (getattr(pair, name) for pair in pairs)
        assert len(first) == (2 * PER_CLASS if name == "target_val" else 0.8 * 2 * PER_CLASS)
        assert torch.equal(first.images, second.images)
    first, second = (pair.truth.val for pair in pairs)
    assert first is not None
    assert second is not None
    assert not torch.equal(first, second)


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ((40, [0, 1]), (40, [0, 2]), "shows the classes 2, which the source does not have"),
        ((40, [1]), (40, [0, 1]), r"the images of the source .*a.npz show 1 class\(es\) only"),
        ((40, [0, 1]), (3, [0, 1]), r"of the target are too few \(2 are left\)"),
    ],
)
def test_pairs_that_cannot_be(tmp_path, source, target, said):
    a, b = write(tmp_path / "a.npz", *source), write(tmp_path / "b.npz", *target)
    with pytest.raises(UserError, match=said):
        load_pair(a, b, None, 0)


def test_a_source_without_labels_is_named(tmp_path):
    bare = course(tmp_path / "bare", train=images(40, 0).unlabelled())
    with pytest.raises(UserError, match=r"the images of the source .*bare have no labels"):
        load_pair(bare, bare, None, 0)


def test_what_is_wrong_with_a_file_is_said_of_either_set(tmp_path):
    good = course(tmp_path / "good", train=images(40, 0))
    for number, (line, said) in enumerate(
        [
            ("000099.png,a", "names 000099.png, which is not in"),
            ("../../x.png,a", "outside its folder|points outside"),
            ("", "lists no images"),
        ]
    ):
        bad = tmp_path / f"bad{number}"
        course(bad, train=images(10, 1))
        (bad / "train.csv").write_text(f"image_name,label\n{line}\n")
        for source, target in ((str(bad), good), (good, str(bad))):
            with pytest.raises(UserError, match=said):
                load_pair(source, target, None, 0)


def test_a_class_that_the_target_lacks_is_told(tmp_path):
    a = write(tmp_path / "a.npz", 60, [0, 1, 2])
    b = write(tmp_path / "b.npz", 60, [0, 1])
    assert any("no image of 2" in note for note in load_pair(a, b, None, 0).notes)
