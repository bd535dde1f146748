"""What the objects of captioned scenes are called: truly, falsely, and what nobody is to ask of them."""

from collections.abc import Sequence
from functools import cache
from itertools import product

from marmor.data.scenes.kept_out import INCOMPLETE, SEEN, likest
from marmor.data.scenes.making import CLEVR_SHAPES
from marmor.data.scenes.rendering import NAMELESS


def ways(name: str) -> tuple[str, ...]:
    """An object by its whole name, by its shape and by its colour; without a name, by its shape."""
    colour, shape = name.split()
    if colour in NAMELESS:
        return (shape,)
    return name, shape, f"{colour} object"


def all_calls(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Whatever a sentence can truly call these objects, each as ``Caption.calls`` has it, once."""
    each = product(*map(ways, names))
    return list(dict.fromkeys(tuple(sorted(called)) for called in each))


@cache
def others(call: str) -> tuple[tuple[str, ...], ...]:
    """What else a thing could be called, in another shape or another colour; no shape in INCOMPLETE ones."""
    first, *rest = call.split()
    if not rest:
        return (tuple(sorted({name.split()[1] for name in SEEN} - {call})),)
    if rest == ["object"]:
        return (tuple(sorted({f"{name.split()[0]} object" for name in SEEN} - {call})),)
    told = [name for name in SEEN if name.split()[0] not in INCOMPLETE and name != call]
    same_colour = tuple(name for name in told if name.split()[0] == first)
    same_shape = tuple(name for name in told if name.split()[1:] == rest)
    return tuple(each for each in (same_colour, same_shape) if each)


def unasked_calls(names: Sequence[str]) -> list[tuple[str, ...]]:
    """What is false of these objects and not to be refused, each as ``Caption.calls`` has it.

    Other shapes of an object in an INCOMPLETE colour: to learn that a cyan cylinder is no cube is to learn
    that nothing cyan is one. And the colours that one without a name is near to.
    """
    instead = [
        [*names[:place], other, *names[place + 1 :]]
        for place, name in enumerate(names)
        for other in _taken_for(name)
    ]
    false = {call for scene in instead for call in all_calls(scene)} - {*all_calls(names)}
    return sorted(false)


@cache
def _taken_for(name: str) -> tuple[str, ...]:
    """Names that an object does not have and might have, were its colour or its shape read otherwise."""
    colour, shape = name.split()
    if colour in NAMELESS:
        return tuple(f"{each} {shape}" for each in likest(colour))
    if colour in INCOMPLETE:
        return tuple(f"{colour} {other}" for other in CLEVR_SHAPES if other != shape)
    return ()
