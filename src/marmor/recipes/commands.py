"""Commands as a person would type them again."""

from collections.abc import Mapping
from typing import Any


def options(named: Mapping[str, Any]) -> tuple[str, ...]:
    """``--name value`` for each, in order; the name alone for True, all values of a list behind one name.

    What was left out is left out: None, False and empty lists.
    """
    words: list[str] = []
    for name, value in named.items():
        if value is None or value is False or value in ([], ()):
            continue
        values = value if isinstance(value, list | tuple) else [] if value is True else [value]
        words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return tuple(words)


def appended(named: Mapping[str, Any]) -> tuple[str, ...]:
    """The same for commands that take a list one by one: the name before each of its values."""
    words: list[str] = []
    for name, value in named.items():
        for each in value if isinstance(value, list | tuple) else [value]:
            words += options({name: each})
    return tuple(words)
