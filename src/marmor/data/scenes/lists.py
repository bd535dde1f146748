"""The JSON files of i-CLEVR: which objects there are, and which of them pictures show.

| file | content |
|---|---|
| objects.json | name of every object → its place, 0 … |
| train.json | file name of every picture → names of its objects |
| test.json, new_test.json | for every picture to draw, names of its objects |
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from marmor.base.errors import UserError, unknown_name
from marmor.base.files import read_json


def read_objects(path: Path) -> tuple[str, ...]:
    """The names in the order of their places; UserError where the file says anything else."""
    found = read_json(path)
    fits = isinstance(found, dict) and sorted(map(repr, found.values())) == sorted(
        map(repr, range(len(found)))
    )
    if not found or not fits:
        raise UserError(
            f'{path} must give every object its own place from 0 on, as {{"red cube": 0, …}}.'
        )
    return tuple(sorted(found, key=found.__getitem__))


def read_pictures(path: Path, objects: Sequence[str]) -> dict[str, list[int]]:
    """Of every file name, the places of its objects; UserError for what is not such a file."""
    found = read_json(path)
    if not isinstance(found, dict) or not found:
        raise UserError(
            f'{path} must name the objects of every picture, as {{"a.png": ["red cube"], …}}.'
        )
    return {name: places(names, objects, f"{path}: {name}") for name, names in found.items()}


def read_requests(path: Path, objects: Sequence[str]) -> list[list[int]]:
    """Of every picture to draw, the places of its objects; UserError for what is not such a file."""
    found = read_json(path)
    if not isinstance(found, list) or not found:
        raise UserError(
            f'{path} must be a list of lists of objects, as [["red cube", "blue sphere"], …].'
        )
    return [places(names, objects, f"{path}: picture {k}") for k, names in enumerate(found)]


def places(names: Any, objects: Sequence[str], where: str) -> list[int]:
    """Places of named objects; UserError for none, for one twice, and for one that there is not."""
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise UserError(f'{where} must name one object or more, as ["red cube", "blue sphere"].')
    for name in names:
        if name not in objects:
            raise unknown_name(f"object in {where}", name, objects)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{where} names {twice!r} twice; a set has each object once.")
    return [objects.index(name) for name in names]
