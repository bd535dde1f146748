"""Scenes of coloured solids on a table, as in CLEVR, drawn exactly on the CPU (S3)."""

from marmor.data.scenes.layout import SceneLists, draw_lists, read_lists, write_scenes
from marmor.data.scenes.making import OBJECTS, SIDE, SMALLEST_SIDE, make_scenes
from marmor.data.scenes.reading import read_scenes

__all__ = [
    "OBJECTS",
    "SIDE",
    "SMALLEST_SIDE",
    "SceneLists",
    "draw_lists",
    "make_scenes",
    "read_lists",
    "read_scenes",
    "write_scenes",
]
