"""Scenes of coloured solids on a table, as in CLEVR, drawn exactly on the CPU (S3)."""

from marmor.data.scenes.layout import REQUESTS, SceneLists, draw_lists, read_lists, write_scenes
from marmor.data.scenes.lists import places, read_requests
from marmor.data.scenes.making import OBJECTS, SIDE, SMALLEST_SIDE, make_scenes
from marmor.data.scenes.reading import SHOWS, read_scenes

__all__ = [
    "OBJECTS",
    "REQUESTS",
    "SHOWS",
    "SIDE",
    "SMALLEST_SIDE",
    "SceneLists",
    "draw_lists",
    "make_scenes",
    "places",
    "read_lists",
    "read_requests",
    "read_scenes",
    "write_scenes",
]
