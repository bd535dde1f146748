"""The one exception that is meant for people."""

import difflib
from collections.abc import Iterable, Sequence

MOST = 50
"""Names that a message lists."""


class UserError(Exception):
    """Wrong input. The message is one sentence: what is wrong, where, what was expected, what to do.

    The command prints it and ends with status 2; a library user can catch it.
    """


def refuse(why: str, **wishes: object) -> None:
    """UserError for the first wish that a person gave, neither None nor "", where none can be heeded."""
    for name, value in wishes.items():
        if value not in (None, ""):
            raise UserError(f"{why}; leave --{name.replace('_', '-')} out.")


def reason(error: Exception) -> str:
    """What an exception of a library says, on one line; its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def unknown_name(kind: str, name: str, known: Iterable[str], advice: str = "") -> UserError:
    """The error for a name that is not in a list, with the nearest name that is, and what else to do."""
    choices = sorted(known)
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return UserError(f"unknown {kind} {name!r}: {hint}known are {listed(choices)}{advice}.")


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them; of many the first, and how many more there are."""
    more = len(names) - MOST
    return ", ".join(names[:MOST]) + (f" and {more:,} more" if more > 0 else "")
