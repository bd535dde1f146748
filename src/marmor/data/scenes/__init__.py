"""Scenes of coloured solids on a table, as in CLEVR, drawn exactly on the CPU (S3)."""

from marmor.data.scenes.captions import write_captioned
from marmor.data.scenes.kept_out import NEW, SEEN, UNSEEN
from marmor.data.scenes.layout import (
    REQUESTS,
    SceneLists,
    draw_lists,
    read_lists,
    scenes_of,
    write_scenes,
)
from marmor.data.scenes.lists import places, read_requests
from marmor.data.scenes.making import (
    DRAWABLE,
    EVERY_OBJECT,
    OBJECTS,
    SIDE,
    SMALLEST_SIDE,
    make_scenes,
    objects_of,
)
from marmor.data.scenes.reading import SHOWS, read_scenes

__all__ = [
    "DRAWABLE",
    "EVERY_OBJECT",
    "NEW",
    "OBJECTS",
    "REQUESTS",
    "SEEN",
    "SHOWS",
    "SIDE",
    "SMALLEST_SIDE",
    "UNSEEN",
    "SceneLists",
    "draw_lists",
    "make_scenes",
    "objects_of",
    "places",
    "read_lists",
    "read_requests",
    "read_scenes",
    "scenes_of",
    "write_captioned",
    "write_scenes",
]
