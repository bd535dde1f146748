"""Scenes: rays against closed forms, objects that stand well, pictures that show what was asked."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.seeds import torch_stream
from marmor.data import describe, read
from marmor.data.scenes import (
    DRAWABLE,
    EVERY_OBJECT,
    OBJECTS,
    draw_lists,
    make_scenes,
    making,
    objects_of,
    read_lists,
    read_scenes,
    write_scenes,
)
from marmor.data.scenes.arranging import GAP, LEAST_SEEN, arrange, standing
from marmor.data.scenes.camera import Views, project, rays
from marmor.data.scenes.layout import growing
from marmor.data.scenes.rendering import COLOURS, FINE, MORE_COLOURS, NAMELESS, PAINTS, sample
from marmor.data.scenes.shading import LAMP_POINTS, Surface, lit, with_others
from marmor.data.scenes.solids import (
    CONE,
    CUBE,
    CYLINDER,
    HOLE,
    MISSED,
    RIM,
    RING,
    SHAPES,
    SPHERE,
    Solids,
    meet,
    normals,
)
from marmor.recipes.making import scenes as scenes_made

HALF_TURN = math.pi / 4


def one(shape: int, x: float = 0.0, y: float = 0.0, turn: float = 0.0, size: float = 0.5) -> Solids:
    values = [torch.tensor([value]) for value in (x, y, turn, size)]
    return Solids(torch.tensor([0]), torch.tensor([shape]), *values)


def shot(solid: Solids, origin: tuple[float, ...], direction: tuple[float, ...]) -> float:
    return meet(torch.tensor([[origin]]), torch.tensor([[direction]]), solid).item()


@pytest.mark.parametrize(
    ("solid", "front"),
    [
        (one(SPHERE), 0.5),
        (one(CUBE), 0.5),
        (one(CUBE, turn=HALF_TURN), 0.5 * math.sqrt(2)),
        (one(CYLINDER), 0.5),
    ],
)
def test_a_ray_meets_the_front(solid: Solids, front: float) -> None:
    assert shot(solid, (0.0, -10.0, 0.5), (0.0, 1.0, 0.0)) == pytest.approx(10 - front, abs=1e-5)
    assert shot(solid, (0.0, 0.0, 10.0), (0.0, 0.0, -1.0)) == pytest.approx(9.0, abs=1e-5)
    assert shot(solid, (0.0, -10.0, 0.5), (0.0, -1.0, 0.0)) == MISSED
    assert shot(solid, (0.75, -10.0, 0.5), (0.0, 1.0, 0.0)) == MISSED
    assert shot(solid, (0.0, -10.0, 1.1), (0.0, 1.0, 0.0)) == MISSED


def test_a_ray_from_within_meets_the_far_side() -> None:
    for shape in (SPHERE, CUBE, CYLINDER):
        assert shot(one(shape), (0.0, 0.0, 0.5), (0.0, 1.0, 0.0)) == pytest.approx(0.5, abs=1e-5)


def test_rays_meet_a_cone_where_it_narrows() -> None:
    cone = one(CONE)
    for height in (0.1, 0.5, 0.9):
        front = 10 - 0.5 * (1 - height)
        assert shot(cone, (0.0, -10.0, height), (0.0, 1.0, 0.0)) == pytest.approx(front, abs=1e-4)
    assert shot(cone, (0.0, -10.0, 1.01), (0.0, 1.0, 0.0)) == MISSED  # its image above the tip
    assert shot(cone, (0.4, 0.0, 10.0), (0.0, 0.0, -1.0)) == pytest.approx(9.8, abs=1e-4)
    assert shot(cone, (0.0, 0.0, 0.5), (0.0, 1.0, 0.0)) == pytest.approx(0.25, abs=1e-5)
    assert shot(cone, (0.1, 0.0, 0.2), (0.0, 0.0, 1.0)) == pytest.approx(0.6, abs=1e-4)


def test_rays_pass_through_the_hole_of_a_ring() -> None:
    ring, hole, rim = one(RING), HOLE * 0.5, (RIM + 1) * 0.5
    assert shot(ring, (0.0, -10.0, 0.1), (0.0, 1.0, 0.0)) == pytest.approx(9.5, abs=1e-5)
    assert shot(ring, (0.0, 0.0, 0.1), (0.0, 1.0, 0.0)) == pytest.approx(hole, abs=1e-5)
    assert shot(ring, (0.4, 0.0, 10.0), (0.0, 0.0, -1.0)) == pytest.approx(10 - rim, abs=1e-5)
    assert shot(ring, (0.4, 0.0, 0.1), (0.0, 0.0, 1.0)) == pytest.approx(rim - 0.1, abs=1e-5)
    assert shot(ring, (0.1, 0.1, 10.0), (0.0, 0.0, -1.0)) == MISSED
    assert shot(ring, (0.0, -10.0, rim + 0.01), (0.0, 1.0, 0.0)) == MISSED


def test_a_ring_shades_its_own_hole() -> None:
    ring = one(RING)
    wall = torch.tensor([[0.0, HOLE * 0.5, 0.05], [0.0, HOLE * 0.5, 0.05], [0.0, -0.5, 0.2]])
    facing = torch.tensor([[0.0, -1.0, 0.0], [0.0, -1.0, 0.0], [0.0, -1.0, 0.0]])
    of = torch.zeros(3).long()
    surface = Surface(wall, facing, of, of)
    views = Views(torch.tensor([[0.0, -9.0, 6.0]]), torch.tensor([[0.0, -8.9, 1.5]]))
    seen = lit(surface, with_others(surface, ring, rings=True), ring, views)
    assert seen.tolist() == pytest.approx([0, 0, 1])
    assert lit(surface, with_others(surface, ring), ring, views).tolist() == [1, 1, 1]


def surface_of(solid: Solids, points: Tensor) -> Tensor:
    """1 where points (R, 3) lie on the surface, growing by the distance from its nearest side."""
    turned = torch.complex(points[:, 0] - solid.x, points[:, 1] - solid.y) * torch.polar(
        torch.ones(1), -solid.turn
    )
    x, y, z = (v / solid.size for v in (turned.real, turned.imag, points[:, 2] - solid.size))
    return {
        SPHERE: (x * x + y * y + z * z).sqrt(),
        CUBE: torch.stack([x, y, z]).abs().amax(0),
        CYLINDER: torch.hypot(x, y).maximum(z.abs()),
        CONE: 1 + ((2 * torch.hypot(x, y) + z - 1) / 5**0.5).maximum(-1 - z),
        RING: 1
        + torch.stack([torch.hypot(x, y) - 1, HOLE - torch.hypot(x, y), z - RIM, -1 - z]).amax(0),
    }[int(solid.shape)]


@pytest.mark.parametrize("shape", [SPHERE, CUBE, CYLINDER, CONE, RING])
def test_rays_meet_the_surface_first_and_normals_look_back(shape: int) -> None:
    solid = one(shape, x=0.7, y=-0.4, turn=0.6, size=0.8)
    stream = torch_stream(0, "rays")
    aims = torch.rand(500, 3, generator=stream) * 2 - 1 + solid.centres
    origin = torch.tensor([0.0, -8.0, 5.0])
    direction = torch.nn.functional.normalize(aims - origin, dim=1)
    distance = meet(origin.expand(1, 1, 3), direction[None], solid)[0]
    hit = distance < MISSED
    assert 100 < hit.sum() < 500
    points = origin + direction * distance[:, None]
    torch.testing.assert_close(
        surface_of(solid, points[hit]), torch.ones(int(hit.sum())), atol=1e-4, rtol=0
    )
    before = [
        surface_of(solid, origin + direction[hit] * (share * distance[hit])[:, None])
        for share in (0.8, 0.9, 0.99)
    ]
    assert torch.stack(before).min() > 1
    inside = surface_of(solid, aims) < 1
    assert hit[inside].all()
    facing = normals(points[hit][None], solid)[0]
    torch.testing.assert_close(facing.norm(dim=1), torch.ones(len(facing)), atol=1e-5, rtol=0)
    assert (facing * direction[hit]).sum(1).max() < 1e-3
    # A step along the normal leaves the solid as fast as any can.
    outward = surface_of(solid, points[hit] + 0.01 * facing)
    torch.testing.assert_close(outward, torch.full_like(outward, 1 + 0.01 / 0.8), atol=2e-4, rtol=0)


def test_rays_and_projection_agree() -> None:
    eye = torch.tensor([[0.3, -9.0, 6.0]])
    places = torch.tensor([[[0.2, -0.7], [-0.9, 0.4]]])
    points = eye + rays(eye, places)[0] * torch.tensor([[7.0], [12.0]])
    torch.testing.assert_close(project(points, eye.expand(2, 3)), places[0], atol=1e-5, rtol=0)


def test_shadows_lie_where_the_lamp_is_hidden() -> None:
    views = Views(torch.tensor([[0.0, -9.0, 6.0]]), torch.tensor([[0.0, 0.0, 8.0]]))
    ball = one(SPHERE, size=0.7)
    x = torch.tensor([0.0, 0.78, 3.0])
    points = torch.stack([x, torch.zeros(3), torch.zeros(3)], 1)
    table = Surface(
        points,
        torch.tensor([[0.0, 0.0, 1.0]]).expand(3, 3),
        torch.zeros(3).long(),
        torch.full((3,), -1),
    )
    dark, half, bright = lit(table, with_others(table, ball), ball, views).tolist()
    assert dark == 0
    assert 2 / LAMP_POINTS < half < 1 - 2 / LAMP_POINTS
    assert bright == pytest.approx(1)


def drawn_scenes(count: int, most: int) -> Tensor:
    return torch.randint(3, (count, most), generator=torch_stream(0, "shapes"))


def test_objects_stand_apart_within_the_picture_and_visible() -> None:
    shapes = drawn_scenes(150, 3)
    solids, views = arrange(shapes, [torch_stream(1, k) for k in range(150)])
    assert torch.equal(solids.shape.view(150, 3), shapes)
    places = torch.stack([solids.x, solids.y], 1).view(150, 3, 2)
    circles = torch.where(shapes == CUBE, math.sqrt(2), 1.0) * solids.size.view(150, 3)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        apart = (places[:, a] - places[:, b]).norm(dim=1)
        assert (apart >= circles[:, a] + circles[:, b] + GAP - 1e-5).all()
    samples = sample(solids, views, 64)
    shares = samples.seen_shares()
    assert shares.min() > LEAST_SEEN - 0.05  # silhouettes are compared in coarser pictures
    assert shares.min() < 1
    border = (samples.place // 9 % 64 % 63 == 0) | (samples.place // 9 // 64 % 64 % 63 == 0)
    assert not (samples.seen & border).any()


def test_windows_hold_whole_silhouettes_in_large_pictures() -> None:
    side = 256
    shapes = torch.full((24, 1), SPHERE)
    solids, views = arrange(shapes, [torch_stream(7, k) for k in range(24)])
    across = ((torch.arange(side * FINE) + 0.5) / (side * FINE)) * 2 - 1
    down, right = torch.meshgrid(across, across, indexing="ij")
    places = torch.stack([right, down], -1).view(1, -1, 2)
    for k in range(24):
        one, eye = solids.take(torch.tensor([k])), views.eye[k : k + 1]
        whole = meet(eye[:, None], rays(eye, places), one) < MISSED
        alone = replace(one, scene=torch.zeros(1).long())
        seen = sample(alone, views.take(torch.tensor([k])), side).seen
        assert abs(int(seen.sum() - whole.sum())) <= 3  # samples on the very edge


def test_too_many_objects_are_told() -> None:
    with pytest.raises(UserError, match="do not fit"):
        make_scenes([list(range(20))], seed=0)


def test_pictures_have_a_least_side() -> None:
    with pytest.raises(UserError, match="16 pixels a side or more, not 8"):
        make_scenes([[3]], seed=0, side=8)
    assert make_scenes([[3]], seed=0, side=16).shape == (1, 3, 16, 16)


def test_scenes_need_objects() -> None:
    with pytest.raises(UserError, match="at least one object"):
        make_scenes([[3], []], seed=0)


def test_every_object_has_its_colour() -> None:
    pictures = make_scenes([[k] for k in range(24)], seed=3).float()
    wanted = torch.tensor(list(COLOURS.values())).float()
    empty = pictures.median(0).values
    for k, picture in enumerate(pictures):
        apart = (picture - empty).abs().sum(0)
        colour = picture[:, apart > 0.6 * apart.max()].median(1).values
        hues = [
            torch.nn.functional.normalize(v - v.mean() * 0.98, dim=-1) for v in (colour, *wanted)
        ]
        likeness = torch.stack([hues[0] @ hue for hue in hues[1:]])
        if OBJECTS[k].startswith("gray"):
            assert colour.std() < 6
        else:
            assert OBJECTS[k].startswith(list(COLOURS)[int(likeness[1:].argmax()) + 1])


def test_scenes_depend_on_seed_and_number_alone(monkeypatch) -> None:
    scenes = [[0, 9, 18], [5], [23, 12], [5]]
    pictures = make_scenes(scenes, seed=0, side=32)
    assert pictures.shape == (4, 3, 32, 32)
    assert not torch.equal(pictures[1], pictures[3])
    monkeypatch.setattr(making, "BLOCK", 2)
    assert torch.equal(make_scenes(scenes, seed=0, side=32), pictures)
    assert torch.equal(make_scenes(scenes[:2], seed=0, side=32), pictures[:2])
    assert not torch.equal(make_scenes(scenes, seed=1, side=32), pictures)


def test_growing_scenes_gain_one_object_a_picture() -> None:
    scenes = [[0, 9, 18], [5]]
    growing = make_scenes(scenes, seed=0, side=32, growing=[3, 1])
    whole = make_scenes(scenes, seed=0, side=32)
    assert torch.equal(growing[[2, 3]], whole)
    changed = [(growing[k].int() - growing[k + 1].int()).abs().amax(0) > 20 for k in (0, 1)]
    assert all(0.01 < part.float().mean() < 0.3 for part in changed)


def test_standing_leaves_out_what_is_none() -> None:
    shapes = torch.tensor([[0, -1], [1, 2]])
    solids = standing(shapes, torch.zeros(2, 2, 2), torch.zeros(2, 2))
    assert solids.scene.tolist() == [0, 1, 1]
    assert solids.shape.tolist() == [0, 1, 2]


def written(folder: Path, **changed: object) -> Path:
    files: dict[str, object] = {
        "objects": {name: k for k, name in enumerate(OBJECTS)},
        "train": {
            "CLEVR_train_000007_0.png": ["red cube"],
            "CLEVR_train_000007_1.png": ["red cube", "gray sphere"],
            "other.png": ["cyan cylinder"],
        },
        "test": [["red cube"]],
        "new_test": [["red cube", "blue sphere"], ["gray cylinder"]],
    }
    folder.mkdir(exist_ok=True)
    for name, value in (files | changed).items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


def test_the_layout_is_read_back_as_it_was_given(tmp_path):
    lists = read_lists(written(tmp_path / "spec"))
    assert lists.pictures["CLEVR_train_000007_1.png"] == [1, 8]
    write_scenes(lists, tmp_path / "made", seed=0, side=24, watch=lambda share: None)
    assert read_lists(tmp_path / "made") == lists
    found = {path.name for path in (tmp_path / "made" / "iclevr").iterdir()}
    assert found == set(lists.pictures)
    with Image.open(tmp_path / "made" / "iclevr" / "CLEVR_train_000007_1.png") as picture:
        assert picture.size == (24, 24)
        pixels = torch.tensor(np.asarray(picture.convert("RGB")))
    expected = make_scenes([[1, 8]], seed=0, side=24)[0]
    assert torch.equal(pixels.permute(2, 0, 1), expected)


def test_drawn_lists_grow_scene_by_scene():
    lists = draw_lists(5, seed=0)
    assert len(lists.pictures) == 15
    assert growing(lists.pictures) == [
        [f"CLEVR_train_{scene:06d}_{k}.png" for k in range(3)] for scene in range(5)
    ]
    assert {len(scene) for scene in lists.requests["test"]} == {1, 2, 3}
    assert lists.requests["test"] != lists.requests["new_test"]
    assert draw_lists(5, seed=0) == lists != draw_lists(5, seed=1)


def test_more_colours_are_painted_on_the_same_solids() -> None:
    more = EVERY_OBJECT[40:]
    assert [name.split() for name in more] == [[c, s] for s in SHAPES[:3] for c in MORE_COLOURS]
    nameless = DRAWABLE[len(EVERY_OBJECT) :]
    assert [name.split() for name in nameless] == [[c, s] for s in SHAPES[:3] for c in NAMELESS]
    assert len(set(PAINTS.values())) == len(PAINTS) == 16 + 512
    for name in (*more, *nameless[::97]):
        colour, shape = name.split()
        picture, gray = (
            make_scenes([[DRAWABLE.index(each)]], seed=3)[0].float()
            for each in (name, f"gray {shape}")
        )
        other = (picture - gray).abs().sum(0)
        surface = other > 0.5 * other.max()
        # Of the light that matt paint gives back, gray gives back as much in each channel.
        shares = (picture[:, surface] / gray[:, surface]).log2().median(1).values
        paint = (torch.tensor(PAINTS[colour]) / 87).log2()
        order = paint.argsort()
        assert (shares[order].diff() > -0.05).all()
        assert (shares - paint).abs().max() < 0.6


def test_lists_are_drawn_of_the_shapes_asked_for() -> None:
    rings = objects_of("ring, cone")
    assert rings == tuple(name for name in EVERY_OBJECT if name.split()[1] in {"cone", "ring"})
    lists = draw_lists(40, seed=0, objects=rings)
    assert lists.objects == rings
    assert {k for scene in lists.pictures.values() for k in scene} == set(range(16))
    assert EVERY_OBJECT[:24] == OBJECTS
    with pytest.raises(UserError, match="did you mean 'cone'"):
        objects_of("cube,coen")


def test_lists_that_are_given_leave_nothing_to_wish(tmp_path) -> None:
    spec = written(tmp_path / "spec")
    for wish, flag in (({"count": 5}, "count"), ({"shapes": "cone"}, "shapes")):
        wishes = {"count": None, "shapes": None} | wish
        with pytest.raises(UserError, match=f"say what is drawn; leave --{flag} out"):
            scenes_made(spec=spec, side=16, seed=0, out=tmp_path / "made", **wishes)
    assert not (tmp_path / "made").exists()


def test_pictures_that_do_not_grow_are_scenes_of_their_own():
    pictures = {
        "a_0.png": [1],
        "a_1.png": [2, 3],
        "b_1.png": [4],
        "c_0.png": [5],
        "c_1.png": [5, 6],
        "d.png": [7],
    }
    assert growing(pictures) == [
        ["a_0.png"],
        ["c_0.png", "c_1.png"],
        ["a_1.png"],
        ["b_1.png"],
        ["d.png"],
    ]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"objects": {"red cube": 0, "blue cube": 2}}, "own place"),
        ({"objects": ["red cube"]}, "own place"),
        ({"train": [["red cube"]]}, "objects of every picture"),
        ({"train": {"a.png": []}}, "one object or more"),
        ({"train": {"a.png": ["read cube"]}}, "did you mean 'red cube'"),
        ({"test": {"a.png": ["red cube"]}}, "list of lists"),
        ({"test": []}, "list of lists"),
        ({"test": ["red cube"]}, "one object or more"),
        ({"new_test": [["red cube", "red cube"]]}, "twice"),
    ],
)
def test_wrong_lists_are_told(tmp_path, changed, told):
    with pytest.raises(UserError, match=told):
        read_lists(written(tmp_path / "spec", **changed))


@pytest.mark.parametrize("name", ["../a.png", "s/a.png", "a", "", "a.jpg", "a\0.png"])
def test_names_that_are_no_pictures_of_the_folder_are_refused(tmp_path, name):
    lists = read_lists(written(tmp_path / "spec", train={name: ["red cube"]}))
    with pytest.raises(UserError, match="no name for a picture"):
        write_scenes(lists, tmp_path / "made", seed=0, side=24, watch=lambda share: None)
    assert not (tmp_path / "made").exists()


def test_objects_that_cannot_be_drawn_are_told(tmp_path):
    objects = {"red cube": 0, "blue sphere": 1, "gray cylinder": 2, "pink cone": 3}
    train = {"a.png": ["pink cone"]}
    lists = read_lists(written(tmp_path / "spec", objects=objects, train=train))
    with pytest.raises(UserError, match="pink cone cannot be drawn"):
        write_scenes(lists, tmp_path / "made", seed=0, side=24, watch=lambda share: None)


def test_scenes_are_read_with_what_they_show(tmp_path):
    lists = read_lists(written(tmp_path / "spec"))
    write_scenes(lists, tmp_path / "made", seed=0, side=24, watch=lambda share: None)
    images = read_scenes(tmp_path / "made", None)
    assert images.vocabulary == {"objects": OBJECTS}
    assert images.class_names == ()
    shown = [row.nonzero().flatten().tolist() for row in images.labels["objects"]]
    assert shown == [[1], [1, 8], [OBJECTS.index("cyan cylinder")]]
    assert torch.equal(images.images[1], make_scenes([[1, 8]], seed=0, side=24)[0])
    read_as_any_set = read(str(tmp_path / "made"))
    assert read_as_any_set.fingerprint() == images.fingerprint()
    assert describe(read_as_any_set)["classes"] == {}
    twice = tmp_path / "made" / "more" / "other.png"
    twice.parent.mkdir()
    twice.write_bytes((tmp_path / "made" / "iclevr" / "other.png").read_bytes())
    with pytest.raises(UserError, match="two pictures named other"):
        read_scenes(tmp_path / "made", None)
    twice.unlink()
    (tmp_path / "made" / "iclevr" / "other.png").unlink()
    with pytest.raises(UserError, match=r"1 pictures that are not in .*other\.png"):
        read_scenes(tmp_path / "made", None)


def test_wide_pictures_are_squashed_not_cropped(tmp_path):
    wide = np.zeros((24, 48, 3), dtype=np.uint8)
    wide[:, :6] = 255  # would be cut off
    spec = written(tmp_path / "spec", train={"a.png": ["red cube"]})
    Image.fromarray(wide).save(spec / "a.png")
    images = read_scenes(spec, 24)
    assert images.size == (24, 24)
    assert images.images[0, 0, :, 0].min() > 250
    assert images.images[0, 0, :, 6:].max() < 5
    assert "Squashed" in images.notes[0]
