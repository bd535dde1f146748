"""The folder of i-CLEVR: pictures of growing scenes, and the JSON files that say what they show."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.seeds import torch_stream
from marmor.data.scenes.lists import read_objects, read_pictures, read_requests
from marmor.data.scenes.making import EVERY_OBJECT, OBJECTS, make_scenes
from marmor.data.writers import whole_folder

PICTURES = "iclevr"
"""The folder of pictures, beside the JSON files."""
REQUESTS = ("test", "new_test")
MOST = 3
"""Objects of a scene, where no lists are given."""
ASKED = 32
"""Pictures that each list of requests asks for, where none are given."""


@dataclass(frozen=True)
class SceneLists:
    """What is to be drawn, as places in ``objects``: of each picture by its name, and of each request."""

    objects: tuple[str, ...]
    pictures: dict[str, list[int]]
    requests: dict[str, list[list[int]]]


def read_lists(folder: Path) -> SceneLists:
    """From objects.json, train.json, test.json and new_test.json; UserError for what does not fit."""
    objects = read_objects(folder / "objects.json")
    pictures = read_pictures(folder / "train.json", objects)
    requests = {name: read_requests(folder / f"{name}.json", objects) for name in REQUESTS}
    return SceneLists(objects, pictures, requests)


def draw_lists(count: int, seed: int, objects: Sequence[str] = OBJECTS) -> SceneLists:
    """``count`` scenes that grow from one object to three, and requests of one to three, all different
    objects, each as likely. UserError for a count below 1."""
    if count < 1:
        raise UserError(f"{count} scenes cannot be made; ask for 1 or more.")
    stream = torch_stream(seed, "scene lists")

    def drawn(size: int) -> list[int]:
        return torch.randperm(len(objects), generator=stream)[:size].tolist()

    scenes = [drawn(MOST) for _ in range(count)]
    pictures = {
        f"CLEVR_train_{number:06d}_{last}.png": scene[: last + 1]
        for number, scene in enumerate(scenes)
        for last in range(MOST)
    }
    requests = {name: [drawn(1 + k % MOST) for k in range(ASKED)] for name in REQUESTS}
    return SceneLists(tuple(objects), pictures, requests)


def write_scenes(
    lists: SceneLists,
    out: Path,
    seed: int,
    side: int,
    watch: Callable[[float], None],
    beside: Callable[[Path], None] = lambda folder: None,
) -> None:
    """Renders every picture of the lists into a new folder, whole or not at all.

    ``beside`` may write more into the folder before it appears.

    Raises UserError for objects that cannot be drawn, scenes that do not fit, or a folder that is not empty.
    """
    unknown = [name for name in lists.objects if name not in EVERY_OBJECT]
    if unknown:
        raise UserError(
            f"{', '.join(unknown)} cannot be drawn; the objects are {', '.join(EVERY_OBJECT)}."
        )
    for name in lists.pictures:
        if Path(name).name != name or Path(name).suffix != ".png" or "\0" in name:
            raise UserError(
                f"{name!r} is no name for a picture here; write NAME.png, without folders."
            )
    with whole_folder(out) as folder, ThreadPoolExecutor(4) as pool:
        (folder / PICTURES).mkdir()
        drawn = _pictures(lists, seed, side, watch)
        paths = [folder / PICTURES / name for name in drawn]
        list(pool.map(save, drawn.values(), paths))
        named = {name: [lists.objects[k] for k in scene] for name, scene in lists.pictures.items()}
        write(folder / "objects.json", {name: k for k, name in enumerate(lists.objects)})
        write(folder / "train.json", named)
        for name, scenes in lists.requests.items():
            asked = [[lists.objects[k] for k in scene] for scene in scenes]
            write(folder / f"{name}.json", asked)
        beside(folder)


def scenes_of(folder: Path) -> list[list[str]]:
    """The file names of train.json, those of one scene together, as ``growing`` tells them."""
    objects = read_objects(folder / "objects.json")
    return growing(read_pictures(folder / "train.json", objects))


def growing(pictures: dict[str, list[int]]) -> list[list[str]]:
    """File names of one scene each, in which every picture has one object more than the one before.

    ``…_0.png``, ``…_1.png`` …, named in that order, are one scene where each list is the one before and one
    object more; every other picture is its own.
    """
    series: dict[str, list[str]] = {}
    for name in pictures:
        scene, _, number = Path(name).stem.rpartition("_")
        known = series.setdefault(scene, []) if number.isdigit() else []
        continues = number == str(len(known)) and len(pictures[name]) == len(known) + 1
        if continues and all(pictures[name][:-1] == pictures[last] for last in known[-1:]):
            known.append(name)
    grown = [names for names in series.values() if names]
    part = {name for names in grown for name in names}
    return grown + [[name] for name in pictures if name not in part]


def _pictures(
    lists: SceneLists, seed: int, side: int, watch: Callable[[float], None]
) -> dict[str, Tensor]:
    """By file name, uint8 (3, side, side)."""
    ours = [EVERY_OBJECT.index(name) for name in lists.objects]
    grown = growing(lists.pictures)
    scenes = [[ours[k] for k in lists.pictures[names[-1]]] for names in grown]
    lengths = [len(names) for names in grown]
    drawn = make_scenes(scenes, seed, side, lengths, watch)
    return dict(zip([name for names in grown for name in names], drawn, strict=True))


def save(picture: Tensor, path: Path) -> None:
    """uint8 (3, side, side) as PNG."""
    Image.fromarray(picture.permute(1, 2, 0).numpy()).save(path)


def write(path: Path, value: object) -> None:
    """JSON on one line."""
    path.write_text(json.dumps(value, ensure_ascii=False) + "\n", encoding="utf-8")
