import numpy as np
import pytest
import torch

from marmor.base.errors import UserError
from marmor.data import ImageSet, make_mnist_m, mnist_m, read_photographs
from marmor.data.mnist_m import _places


@pytest.fixture
def photos(pixels):
    return [pixels(9, 12, 3, seed=1), pixels(6, 6, 3, seed=2), pixels(20, 7, 3, seed=3)]


def slow_reference(digits, photos, seed):
    choice, top, left = _places(photos, len(digits), *digits.size, seed)
    made = torch.empty(len(digits), 3, *digits.size, dtype=torch.uint8)
    for i, (p, row, column) in enumerate(zip(choice, top, left, strict=True)):
        for c in range(3):
            for y in range(digits.size[0]):
                for x in range(digits.size[1]):
                    difference = int(photos[p][row + y, column + x, c]) - int(
                        digits.images[i, 0, y, x]
                    )
                    made[i, c, y, x] = abs(difference)
    return made


def test_equals_the_slow_reference(labelled, photos, monkeypatch):
    monkeypatch.setattr(mnist_m, "IMAGES_AT_ONCE", 7)
    digits = labelled(15, 15)
    made = make_mnist_m(digits, photos, seed=5)
    assert torch.equal(made.images, slow_reference(digits, photos, seed=5))
    assert torch.equal(made.labels["class"], digits.labels["class"])
    assert "3 photographs, seed 5" in made.notes[-1]


def test_places_reach_every_photo_and_edge(photos):
    choice, top, left = _places(photos, 3000, 6, 6, seed=0)
    for index, photo in enumerate(photos):
        mine = choice == index
        assert 900 < mine.sum() < 1100
        assert (top[mine].min(), top[mine].max()) == (0, photo.shape[0] - 6)
        assert (left[mine].min(), left[mine].max()) == (0, photo.shape[1] - 6)


def test_binarize_copies_or_inverts_the_photograph(pixels):
    digits = ImageSet(torch.tensor([[0, 1], [0, 255]], dtype=torch.uint8)[None, None])
    photo = pixels(2, 2, 3)
    made = make_mnist_m(digits, [photo], seed=0, binarize=True).images[0].permute(1, 2, 0).numpy()
    inverted = np.array([[False, True], [False, True]])
    assert (made[inverted] == 255 - photo[inverted]).all()
    assert (made[~inverted] == photo[~inverted]).all()


def test_seed_decides(labelled, photos):
    digits = labelled(4, 4)
    prints = [make_mnist_m(digits, photos, seed).fingerprint() for seed in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]


def test_count_repeats_every_digit_on_other_backgrounds(photos):
    digits = ImageSet(
        torch.zeros(4, 1, 6, 6, dtype=torch.uint8),
        {"class": torch.arange(4)},
        {"class": tuple("abcd")},
    )
    made = make_mnist_m(digits, photos, seed=0, count=10)
    labels = made.labels["class"]
    assert sorted(labels[:4].tolist()) == sorted(labels[4:8].tolist()) == [0, 1, 2, 3]
    assert len(set(labels[8:].tolist())) == 2
    backgrounds = {made.images[i].numpy().tobytes() for i in range(10)}
    assert len(backgrounds) > 5
    assert len(make_mnist_m(digits, photos, seed=0, count=2)) == 2


def test_inputs_that_do_not_fit(labelled, photos, pixels):
    digits = labelled(2, 2)
    for bad, words in [
        ([], "at least one photograph"),
        ([*photos, pixels(5, 9, 3)], "photograph 4 is 9×5, smaller than the digits"),
        ([pixels(9, 9)], "photograph 1 is uint8"),
        ([np.zeros((9, 9, 3))], "photograph 1 is float64"),
    ]:
        with pytest.raises(UserError, match=words):
            make_mnist_m(digits, bad, seed=0)
    with pytest.raises(UserError, match="give grey ones"):
        make_mnist_m(digits.colour(), photos, seed=0)
    with pytest.raises(UserError, match="cannot draw 0 images"):
        make_mnist_m(digits, photos, seed=0, count=0)


def test_read_photographs(tmp_path, save, pixels):
    save(tmp_path / "10.png", 5, 6, 3, seed=1)
    save(tmp_path / "9.png", 7, 8, seed=2)
    first, second = read_photographs(tmp_path)
    assert (second == pixels(5, 6, 3, seed=1)).all()
    assert first.shape == (7, 8, 3)
    with pytest.raises(UserError, match="not a folder"):
        read_photographs(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no images"):
        read_photographs(tmp_path / "empty")
