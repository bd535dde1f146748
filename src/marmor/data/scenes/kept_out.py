"""Kinds of objects that captioned scenes show, and those that are kept out of them.

What is kept out can be learned later, or asked for by words alone: UNSEEN are colours and shapes that
training knows apart and never together; NEW are shapes that it does not know at all.
"""

import math
from functools import cache

from marmor.data.scenes.making import DRAWABLE, EVERY_OBJECT, objects_of
from marmor.data.scenes.rendering import NAMED, NAMELESS

UNSEEN = ("cyan cube", "purple sphere", "yellow sphere", "red cylinder")
INCOMPLETE = tuple(name.split()[0] for name in UNSEEN)
"""Colours of which a shape is kept out."""
NEW = objects_of("cone,ring")
SEEN = tuple(name for name in EVERY_OBJECT if name not in (*UNSEEN, *NEW))
"""In more colours than i-CLEVR's: between cyan and its neighbours, of which cubes are seen, lies what a cyan
cube would be; were cyan alone, it would mean that a thing is no cube."""

LIKEST = 2
"""Named colours that a colour without a name may be taken for."""


@cache
def likest(paint: str) -> tuple[str, ...]:
    """The LIKEST named colours that a colour without a name is nearest to, in sRGB, the nearest first."""
    return tuple(sorted(NAMED, key=lambda name: math.dist(NAMED[name], NAMELESS[paint]))[:LIKEST])


PAINTED = tuple(
    name for name in DRAWABLE[len(EVERY_OBJECT) :] if likest(name.split()[0])[0] not in INCOMPLETE
)
"""Solids in colours without a name, but for colours that look like INCOMPLETE ones."""
