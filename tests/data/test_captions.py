"""Captioned scenes: sentences that name what pictures show, and objects that none of them shows."""

import json
from itertools import permutations
from pathlib import Path

import pytest
import torch
from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.seeds import torch_stream
from marmor.data import (
    Captioned,
    SceneWishes,
    alike,
    captioned,
    captioned_scenes,
    read,
    read_captioned,
    read_scenes,
)
from marmor.data.imageset import ImageSet
from marmor.data.scenes import DRAWABLE, EVERY_OBJECT, NEW, SEEN, UNSEEN, write_captioned
from marmor.data.scenes.calls import all_calls, unasked_calls
from marmor.data.scenes.captions import CAPTIONS, caption, draw_captioned, draw_contraries
from marmor.data.scenes.kept_out import INCOMPLETE, PAINTED, likest
from marmor.data.scenes.rendering import PAINTS


def named(sentence: str) -> set[str]:
    """The objects that a sentence names."""
    plain = sentence.replace(",", "")
    return {name for name in EVERY_OBJECT if name in plain}


def true_of(data: Captioned, pictures: Tensor, sentences: Tensor) -> Tensor:
    """Which sentence is true of which picture, by their places, bool (pictures, sentences)."""
    return alike(data.truths[pictures], data.meanings[sentences])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("captioned") / "scenes"
    write_captioned(12, 2, path, seed=0, side=16, watch=lambda share: None)
    return path


def test_sentences_name_the_objects_of_their_pictures_and_no_others() -> None:
    lists, captions = draw_captioned(300, seed=0)
    assert lists.pictures.keys() == captions.keys()
    for name, scene in lists.pictures.items():
        shown = {EVERY_OBJECT[k] for k in scene}
        assert len(captions[name]) == CAPTIONS
        assert all(named(each.sentence) == shown for each in captions[name])
        assert all({*each.calls} == shown for each in captions[name])
    assert {len(scene) for scene in lists.pictures.values()} == {1, 2, 3}


def test_objects_are_called_by_shape_or_colour_alone_where_that_is_asked() -> None:
    lists, captions = draw_captioned(100, seed=0, wishes=SceneWishes(partly=1.0))
    by_colour = by_shape = 0
    for name, scene in lists.pictures.items():
        colours, shapes = zip(*(EVERY_OBJECT[k].split() for k in scene), strict=True)
        for sentence, calls in ((each.sentence, each.calls) for each in captions[name]):
            assert calls in all_calls([EVERY_OBJECT[k] for k in scene])
            words = sentence.strip(".").replace(",", "").split()
            said = [word for word in words if word in {*colours, *shapes}]
            assert len(said) == len(scene) == len(calls)
            assert all(any(word in call for call in calls) for word in said)
            assert not named(sentence)
            by_colour += sum(word in colours for word in said)
            by_shape += sum(word in shapes for word in said)
    assert 0.4 < by_colour / (by_colour + by_shape) < 0.6
    # One in five of the objects: most sentences about one object still name it.
    lists, captions = draw_captioned(300, seed=0, wishes=SceneWishes(partly=0.2))
    alone = [n for n, scene in lists.pictures.items() if len(scene) == 1]
    whole = [bool(named(each.sentence)) for n in alone for each in captions[n]]
    assert 0.75 < sum(whole) / len(whole) < 0.85


def test_what_is_kept_out_is_never_shown_and_the_rest_is() -> None:
    lists, _ = draw_captioned(300, seed=1)
    shown = {EVERY_OBJECT[k] for scene in lists.pictures.values() for k in scene}
    assert shown == set(SEEN)
    assert not shown & {*UNSEEN, *NEW}
    # Of what is kept out each colour and each shape is seen, in other company.
    words = {word for name in SEEN for word in name.split()}
    assert {word for name in UNSEEN for word in name.split()} <= words


def test_a_scene_depends_on_the_seed_and_its_number_alone() -> None:
    lists, captions = draw_captioned(20, seed=0)
    fewer, said = draw_captioned(5, seed=0)
    assert list(lists.pictures.items())[:5] == list(fewer.pictures.items())
    assert list(captions.items())[:5] == list(said.items())
    assert draw_captioned(5, seed=1)[1] != said


def test_the_order_of_objects_is_any() -> None:
    stream = torch_stream(0, "order")
    found = {caption(["red cube", "blue sphere"], stream).sentence.index("red") for _ in range(30)}
    first = {caption(["red cube", "blue sphere"], stream).sentence.find("blue") for _ in range(30)}
    assert min(found) < 5
    assert min(first) < 5


def test_rendered_and_written_scenes_are_the_same(folder: Path) -> None:
    written, rendered = read_captioned(folder, None), captioned_scenes(12, 0, 16)
    assert torch.equal(written.images.images, rendered.images.images)
    assert written.sentences == rendered.sentences
    assert torch.equal(written.captions, rendered.captions)
    every, sentences = torch.arange(12), torch.arange(len(written.sentences))
    assert torch.equal(true_of(written, every, sentences), true_of(rendered, every, sentences))


def test_sentences_are_true_of_all_pictures_of_the_same_objects() -> None:
    data = captioned_scenes(40, 0, 16)
    lists, _ = draw_captioned(40, 0)
    sets = [frozenset(scene) for scene in lists.pictures.values()]
    same = torch.tensor([[a == b for b in sets] for a in sets])
    assert same.sum() > 40  # some come twice
    every = torch.arange(40)
    for place in range(CAPTIONS):
        assert torch.equal(true_of(data, every, data.captions[:, place]), same)


def test_a_shape_or_a_colour_is_true_of_each_that_has_it() -> None:
    assert set(all_calls(["red cube", "red sphere"])) == {
        ("red cube", "red sphere"),
        ("red cube", "sphere"),
        ("red cube", "red object"),
        ("cube", "red sphere"),
        ("cube", "sphere"),
        ("cube", "red object"),
        ("red object", "red sphere"),
        ("red object", "sphere"),
        ("red object", "red object"),
    }
    data = captioned_scenes(60, 0, 16, wishes=SceneWishes(partly=0.5))
    lists, captions = draw_captioned(60, 0, wishes=SceneWishes(partly=0.5))
    shown = [[EVERY_OBJECT[k] for k in scene] for scene in lists.pictures.values()]
    said = {each.sentence: each.calls for own in captions.values() for each in own}
    true = true_of(data, torch.arange(60), torch.arange(len(data.sentences)))
    for picture, names in enumerate(shown):
        for place, sentence in enumerate(data.sentences):
            assert true[picture, place] == any(
                all(
                    call in (name, *name.split(), f"{name.split()[0]} object")
                    for name, call in pairs
                )
                for pairs in (
                    list(zip(order, said[sentence], strict=True))
                    for order in permutations(names)
                    if len(order) == len(said[sentence])
                )
            )


def test_a_contrary_is_the_sentence_with_one_shape_or_colour_changed() -> None:
    _, captions = draw_captioned(400, seed=0, wishes=SceneWishes(partly=0.3, contrasted=True))
    false = draw_contraries(captions, seed=0)
    assert false.keys() == captions.keys()
    changed = {"shape": 0, "colour": 0}
    shapes = {name.split()[1] for name in SEEN}
    colours = {name.split()[0] for name in SEEN}
    for name, own in captions.items():
        for truth, lie in zip(own, false[name], strict=True):
            told, said = (
                each.sentence.strip(".").replace(",", "").split() for each in (truth, lie)
            )
            differ = [(a, b) for a, b in zip(told, said, strict=True) if a != b]
            assert len(differ) == 1
            kind = "shape" if differ[0][0] in shapes else "colour"
            assert set(differ[0]) <= (shapes if kind == "shape" else colours)
            changed[kind] += 1
            said = named(lie.sentence)
            assert not said & {*UNSEEN, *NEW}
            assert not {name.split()[0] for name in said} & {*INCOMPLETE}
            assert sorted(lie.called) == list(lie.calls)
            assert lie.calls != truth.calls
    # Of what is called by its colour, the colour changes.
    assert 0.35 < changed["shape"] / sum(changed.values()) < 0.45
    fewer, _ = draw_captioned(5, seed=0, wishes=SceneWishes(partly=0.3, contrasted=True))
    first = {name: captions[name] for name in fewer.pictures}
    assert draw_contraries(first, seed=0) == {name: false[name] for name in first}
    assert draw_contraries(first, seed=1) != draw_contraries(first, seed=0)


def test_contraries_stand_beside_captions() -> None:
    assert captioned_scenes(4, 0, 16, wishes=SceneWishes(partly=0.5)).contraries is None
    data = captioned_scenes(60, 0, 16, wishes=SceneWishes(partly=0.5, contrasted=True))
    assert data.contraries is not None
    lists, captions = draw_captioned(60, 0, wishes=SceneWishes(partly=0.5, contrasted=True))
    false = draw_contraries(captions, 0)
    for place, own in enumerate(false.values()):
        rows = [data.sentences[k] for k in data.contraries[place].tolist()]
        assert rows == [each.sentence for each in own]
    for place, own in enumerate(captions.values()):
        assert [data.sentences[k] for k in data.captions[place]] == [e.sentence for e in own]
    # What a contrary says may be true: "a cube and a red object" of a red cube beside a cube.
    true = true_of(data, torch.arange(60), torch.arange(len(data.sentences)))
    happens = 0
    for place, (name, own) in enumerate(false.items()):
        possible = all_calls([EVERY_OBJECT[k] for k in lists.pictures[name]])
        for column, each in zip(data.contraries[place].tolist(), own, strict=True):
            assert true[place, column] == (each.calls in possible)
            happens += each.calls in possible
    assert 0 < happens < 60


def test_some_solids_have_colours_without_a_name_and_are_called_by_their_shape() -> None:
    lists, captions = draw_captioned(400, seed=0, wishes=SceneWishes(partly=0.2, nameless=0.4))
    shown = [[lists.objects[k] for k in scene] for scene in lists.pictures.values()]
    every = [name for names in shown for name in names]
    nameless = [name for name in every if name not in EVERY_OBJECT]
    assert 0.35 < len(nameless) / len(every) < 0.45
    assert {*every} <= {*SEEN, *PAINTED}
    assert not any("paint" in each.sentence for own in captions.values() for each in own)
    for names, own in zip(shown, captions.values(), strict=True):
        assert all(each.calls in all_calls(names) for each in own)
        shapes = sorted(name.split()[1] for name in names if name not in EVERY_OBJECT)
        for each in own:
            called = list(each.calls)
            for shape in shapes:
                called.remove(shape)
    plain = draw_captioned(50, seed=0, wishes=SceneWishes(partly=0.2))
    few, _ = draw_captioned(50, seed=0, wishes=SceneWishes(partly=0.2, nameless=0.1))
    kept = zip(few.pictures.values(), plain[0].pictures.values(), strict=True)
    places = [pair for scenes in kept for pair in zip(*scenes, strict=True)]
    assert sum(a == b for a, b in places) / len(places) > 0.8


def test_more_scenes_show_one_object_where_that_is_asked() -> None:
    lists, _ = draw_captioned(600, seed=0, wishes=SceneWishes(alone=0.8))
    sizes = torch.tensor([len(scene) for scene in lists.pictures.values()]).bincount() / 600
    for share, expected in zip(sizes.tolist(), (0, 13 / 15, 1 / 15, 1 / 15), strict=True):
        assert abs(share - expected) < 0.05


def test_no_solid_looks_like_what_is_kept_out() -> None:
    assert PAINTS["paint118"] == (52, 212, 212)
    assert likest("paint118") == ("cyan", "azure")
    left_out = {*DRAWABLE} - {*EVERY_OBJECT} - {*PAINTED}
    assert "paint118 cube" in left_out
    assert 300 < len(left_out) < 600
    assert all(likest(name.split()[0])[0] in INCOMPLETE for name in left_out)
    assert not any(likest(name.split()[0])[0] in INCOMPLETE for name in PAINTED)


def test_what_a_kept_out_object_would_make_true_is_not_asked() -> None:
    assert unasked_calls(["gray cube"]) == []
    cyan = [("cube",), ("cyan cube",), ("cyan sphere",), ("sphere",)]
    assert unasked_calls(["cyan cylinder"]) == cyan
    both = unasked_calls(["red sphere", "gray cube"])
    assert ("cylinder", "gray cube") in [tuple(sorted(call)) for call in both]
    assert ("cube", "gray cube") in [tuple(sorted(call)) for call in both]
    assert not any("gray object" in call and "sphere" in call for call in both)
    # A colour without a name may be any that it is near to.
    near = likest("paint0")
    assert unasked_calls(["paint0 cube"]) == sorted(
        (call,) for each in near for call in (f"{each} cube", f"{each} object")
    )
    data = captioned_scenes(60, 0, 16, wishes=SceneWishes(0.3, 0.4, contrasted=True))
    assert captioned_scenes(4, 0, 16).unasked is None
    assert data.unasked is not None
    every = torch.arange(60)
    said = data.meanings[torch.arange(len(data.sentences))]
    true, spared = alike(data.truths[every], said), alike(data.unasked[every], said)
    assert not (true & spared).any()
    assert 0.001 < spared.float().mean() < 0.05
    own = data.captions.flatten().unique()
    assert spared[:, own].any()


def test_nothing_says_the_shape_of_a_solid_whose_colour_lacks_one() -> None:
    lists, captions = draw_captioned(300, seed=0, wishes=SceneWishes(partly=0.3, contrasted=True))
    spoken, _ = draw_captioned(300, seed=0, wishes=SceneWishes(partly=0.3))
    assert lists.pictures.keys() == spoken.pictures.keys()
    hushed = 0
    for name, scene in lists.pictures.items():
        shown = [EVERY_OBJECT[k] for k in scene]
        for each in captions[name]:
            assert each.calls in all_calls(shown)
            assert not {call.split()[0] for call in named(each.sentence)} & {*INCOMPLETE}
            hushed += sum(call.split()[0] in INCOMPLETE for call in each.calls)
    assert hushed > 100


def test_what_was_kept_out_lies_beside(folder: Path) -> None:
    for part, objects in (("unseen", UNSEEN), ("new", NEW)):
        images = read(str(folder / part), "test")
        assert images.class_names == tuple(sorted(name.replace(" ", "_") for name in objects))
        assert len(images) == 2 * len(objects)
    assert len(json.loads((folder / "id2label.json").read_text())) == 24
    assert len(read_scenes(folder, None)) == 12


def test_captions_come_again_where_a_picture_has_fewer() -> None:
    images = ImageSet(torch.zeros(2, 3, 16, 16, dtype=torch.uint8))
    data = captioned(images, [["a", "b", "c"], ["d"]], ["x", "x"])
    assert data.sentences == ("a", "b", "c", "d")
    assert data.captions.tolist() == [[0, 1, 2], [3, 3, 3]]
    assert true_of(data, torch.arange(2), torch.arange(4)).all()
    data = captioned(images, [["a", "b", "c"], ["c", "d"]], ["x", "y"])
    true = true_of(data, torch.arange(2), torch.arange(4))
    assert true.tolist() == [[True, True, True, False], [False, False, True, True]]


@pytest.mark.parametrize(
    ("captions", "told"),
    [
        (["a red cube"], "captions by picture"),
        ({"a.png": ["one"]}, "no captions of b.png"),
        ({"a.png": ["one"], "b.png": []}, "no captions of b.png"),
        ({"a.png": ["one"], "b.png": "two"}, "no captions of b.png"),
        ({"a.png": ["one"], "b.png": [""]}, "no captions of b.png"),
    ],
)
def test_wrong_captions_are_told(captions: object, told: str, tmp_path: Path, tile) -> None:
    for name in ("a", "b"):
        tile.save(tmp_path / f"{name}.png")
    (tmp_path / "captions.json").write_text(json.dumps(captions))
    with pytest.raises(UserError, match=told):
        read_captioned(tmp_path, None)


def test_without_objects_a_sentence_is_true_of_pictures_that_have_it(tmp_path: Path, tile) -> None:
    for name in ("a", "b", "c"):
        tile.save(tmp_path / f"{name}.png")
    said = {"a.png": ["one", "two"], "b.png": ["two", "one"], "c.png": ["one"]}
    (tmp_path / "captions.json").write_text(json.dumps(said))
    data = read_captioned(tmp_path, None)
    assert data.sentences == ("one", "two")
    true = true_of(data, torch.arange(3), torch.arange(2))
    assert true.tolist() == [[True, True], [True, True], [True, False]]


def test_numbers_that_cannot_be_are_told(tmp_path: Path) -> None:
    for count, each in ((0, 1), (1, 0)):
        with pytest.raises(UserError, match="ask for 1 or more"):
            write_captioned(count, each, tmp_path / "out", 0, 16, lambda share: None)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def tile():
    from PIL import Image

    return Image.new("RGB", (16, 16), (9, 90, 200))
