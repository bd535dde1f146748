import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from marmor.base.errors import UserError
from marmor.data import ImageSet, describe, require_classes


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(2, 1, 4, 4),
        torch.zeros(2, 4, 4, dtype=torch.uint8),
        torch.zeros(2, 2, 4, 4, dtype=torch.uint8),
        torch.zeros(2, 1, 0, 4, dtype=torch.uint8),
    ],
)
def test_images_of_another_type_or_shape_are_refused(images):
    with pytest.raises(ValueError, match=r"images"):
        ImageSet(images)


TWO = {"class": ("a", "b")}


@pytest.mark.parametrize(
    ("labels", "vocabulary", "words"),
    [
        ({"class": torch.tensor([0, 1, 2])}, {"class": ("a", "b", "c")}, r"\(2,\)"),
        ({"class": torch.tensor([0, 2])}, TWO, "expected 0 to 1"),
        ({"class": torch.tensor([-1, 0])}, TWO, "from -1"),
        ({"class": torch.tensor([0.0, 1.0])}, TWO, "int64"),
        ({"class": torch.tensor([0, 1])}, {}, "names for"),
        ({}, TWO, "names for"),
        ({"class": torch.tensor([0, 1])}, {"class": ("a", "a")}, "repeat"),
        ({"class": torch.tensor([0, 1])}, {"class": ()}, "missing"),
        ({"text": torch.tensor([0, 1])}, TWO, "names for"),
        ({"class": torch.zeros(2, 2, dtype=torch.bool)}, TWO, "int64"),
        ({"objects": torch.zeros(2, 3, dtype=torch.bool)}, {"objects": ("a", "b")}, r"\(2, 2\)"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, vocabulary, words):
    with pytest.raises(ValueError, match=words):
        ImageSet(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), labels, vocabulary)


def test_labels_may_be_one_value_or_a_set_of_values():
    labels = {
        "class": torch.tensor([0, 1, 1]),
        "domain": torch.tensor([0, 0, 1]),
        "objects": torch.eye(3, 4, dtype=torch.bool),
    }
    names = {"class": ("0", "1"), "domain": ("real", "drawn"), "objects": tuple("abcd")}
    pixels = torch.arange(48, dtype=torch.uint8).reshape(3, 1, 4, 4)
    images = ImageSet(pixels, labels, names)
    assert images.class_names == ("0", "1")
    taken = images.take([2, 0])
    assert torch.equal(taken.labels["objects"], labels["objects"][[2, 0]])
    assert taken.vocabulary == names
    assert images.unlabelled().labels == images.unlabelled().vocabulary == {}
    renamed = replace(images, vocabulary={**names, "domain": ("real", "made")})
    moved = replace(images, labels={**labels, "objects": labels["objects"].roll(1, 1)})
    assert len({part.fingerprint() for part in (images, renamed, moved)}) == 3
    column = {"class_names": torch.tensor([0, 0, 1])}
    odd = replace(images, labels=labels | column, vocabulary=names | {"class_names": ("x", "y")})
    other = replace(odd, vocabulary={**odd.vocabulary, "class": ("1", "0")})
    assert odd.fingerprint() != other.fingerprint()


def test_names_are_one_an_image():
    with pytest.raises(ValueError, match="1 names for 2 images"):
        ImageSet(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), names=("a.png",))


def test_take_keeps_everything_together(labelled):
    images = replace(labelled(3, 3), names=tuple("abcdef"), notes=("n",))
    taken = images.take([4, 0])
    assert torch.equal(taken.images, images.images[[4, 0]])
    assert torch.equal(taken.labels["class"], images.labels["class"][[4, 0]])
    assert taken.names == ("e", "a")
    assert taken.notes == ("n",)
    assert len(images.take([])) == 0
    with pytest.raises(IndexError):
        images.take([6])


def test_unlabelled_leaves_nothing_that_tells_the_class(labelled):
    bare = replace(labelled(2, 2), names=("cat/1.png",) * 4).unlabelled()
    assert (bare.labels, bare.class_names, bare.names) == ({}, (), ())


def test_colour_copies_grey(labelled):
    grey = labelled(2, 2)
    assert torch.equal(grey.colour().images, grey.images.repeat(1, 3, 1, 1))
    assert grey.colour().colour().fingerprint() == grey.colour().fingerprint()


def test_resized_takes_the_centred_square_and_notes_it(pixels):
    images = ImageSet(torch.from_numpy(pixels(3, 3, 8, 12)))
    assert torch.equal(images.resized(8).images, images.images[:, :, :, 2:10])
    halved = images.resized(4)
    assert halved.size == (4, 4)
    assert "12×8 to 4×4" in halved.notes[0]
    assert halved.resized(4) is halved


def test_cropped_takes_the_centre_and_refuses_more_than_there_is(pixels):
    images = ImageSet(torch.from_numpy(pixels(3, 3, 8, 12)))
    cropped = images.cropped(4)
    assert torch.equal(cropped.images, images.images[:, :, 2:6, 4:8])
    assert "12×8 to 4×4" in cropped.notes[0]
    for side in (0, 9):
        with pytest.raises(UserError, match=f"{side}×{side} pixels cannot be cut .* 12×8"):
            images.cropped(side)


def test_without_leaves_out_what_another_set_holds_and_keeps_labels(labelled):
    images = labelled(3, 2)
    rest = images.without(images.take([1, 3]))
    assert torch.equal(rest.images, images.images[[0, 2, 4]])
    assert torch.equal(rest.labels["class"], images.labels["class"][[0, 2, 4]])
    assert "2 images left out" in rest.notes[-1]
    with pytest.raises(UserError, match="nothing is left"):
        images.without(images)
    with pytest.raises(UserError, match="cannot be compared"):
        images.without(images.colour())


def test_resized_is_antialiased_and_the_same_alone_and_in_a_batch(pixels):
    stripes = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    stripes[:, :, :, ::8] = 255
    inner = ImageSet(stripes).resized(8).images[:, :, :, 1:-1].int()
    assert (inner - 32).abs().max() <= 8
    images = ImageSet(torch.from_numpy(pixels(5, 3, 20, 20)))
    together = images.resized(9).images
    assert torch.equal(images.take([3]).resized(9).images[0], together[3])


def test_split_is_stratified_complete_and_deterministic(labelled):
    images = labelled(40, 20, 10)
    rest, held = images.split(0.1, seed=3)
    assert held.labels["class"].bincount().tolist() == [4, 2, 1]
    assert rest.labels["class"].bincount().tolist() == [36, 18, 9]
    pieces = {tuple(image.flatten().tolist()) for part in (rest, held) for image in part.images}
    assert len(pieces) == 70
    assert images.split(0.1, seed=3)[1].fingerprint() == held.fingerprint()
    assert images.split(0.1, seed=4)[1].fingerprint() != held.fingerprint()


def test_split_of_small_classes_keeps_the_total(labelled):
    held = labelled(*[3] * 10).split(0.2, seed=0)[1]
    assert len(held) == 6
    assert held.labels["class"].bincount().max() == 1


def test_split_without_labels(labelled):
    assert len(labelled(5, 5).unlabelled().split(0.3, seed=0)[1]) == 3


def test_split_refuses_what_leaves_a_part_empty(labelled):
    with pytest.raises(UserError, match="leaves one part empty"):
        labelled(2, 1).split(0.01, seed=0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        labelled(2, 1).split(1.0, seed=0)


def test_fingerprint_changes_with_pixels_labels_and_class_names_only(labelled):
    images = labelled(2, 2)
    pixel = images.images.clone()
    pixel[3, 0, 5, 5] ^= 1
    labels = {"class": images.labels["class"] ^ 1}
    variants = [
        replace(images, images=pixel),
        replace(images, labels=labels),
        replace(images, vocabulary={"class": ("0", "2")}),
        replace(images, images=images.images.reshape(4, 1, 4, 9)),
        images.unlabelled(),
    ]
    prints = {variant.fingerprint() for variant in [images, *variants]}
    assert len(prints) == 6
    assert replace(images, notes=("n",), names=tuple("abcd")).fingerprint() in prints


def test_fingerprint_does_not_depend_on_memory_layout_or_process(labelled):
    images = labelled(2, 2, channels=3)
    strided = images.images.to(memory_format=torch.channels_last)
    assert replace(images, images=strided).fingerprint() == images.fingerprint()
    program = (
        "import torch; from marmor.data import ImageSet;"
        "print(ImageSet(torch.arange(72, dtype=torch.uint8).reshape(2, 1, 6, 6),"
        "{'class': torch.tensor([0, 1])}, {'class': ('a', 'b')}).fingerprint())"
    )
    here = ImageSet(
        torch.arange(72, dtype=torch.uint8).reshape(2, 1, 6, 6),
        {"class": torch.tensor([0, 1])},
        {"class": ("a", "b")},
    )
    there = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == here.fingerprint()


def test_require_classes(labelled):
    require_classes(labelled(2, 1))
    with pytest.raises(UserError, match=r"1 class\(es\) only \('0'\).*at least 2"):
        require_classes(labelled(3, 0))
    with pytest.raises(UserError, match="at least 3"):
        require_classes(labelled(2, 1), at_least=3)
    objects = ImageSet(
        torch.zeros(2, 1, 4, 4, dtype=torch.uint8),
        {"objects": torch.zeros(2, 3, dtype=torch.bool)},
        {"objects": tuple("abc")},
    )
    with pytest.raises(UserError, match="labelled with objects, not with one class each"):
        require_classes(objects)
    with pytest.raises(UserError, match="no labels"):
        require_classes(labelled(2, 1).unlabelled())


def test_describe(labelled):
    images = replace(labelled(3, 1, 0), notes=("n",))
    told = describe(images)
    assert told["classes"] == {"0": 3, "1": 1, "2": 0}
    assert (told["count"], told["height"], told["width"], told["channels"]) == (4, 6, 6, 1)
    assert told["value_mean"] == pytest.approx(np.mean(images.images.numpy()))
    assert (told["value_min"], told["value_max"]) == (images.images.min(), images.images.max())
    assert (told["labelled"], told["notes"]) == (True, ["n"])
    assert told["fingerprint"] == images.fingerprint()
    assert describe(images.take([]))["value_mean"] is None
    assert describe(images.unlabelled())["classes"] == {}
