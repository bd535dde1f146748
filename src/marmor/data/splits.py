"""The words for the parts of a data set."""

from marmor.base.errors import UserError, unknown_name

SPLITS = ("train", "val", "test", "extra")


def check_split(split: str) -> None:
    """UserError for a word that names no part of any data set."""
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)


class MissingSplitError(UserError):
    """A data set has splits, but not the one that was asked for."""


def missing_split(where: str, split: str, present: list[str]) -> UserError:
    """The error for a data set that has splits, but not this one."""
    return MissingSplitError(
        f"{where} has no {split!r} split; it has {', '.join(present)}: ask for one of these."
    )


def without_splits(split: str) -> tuple[str, ...]:
    """A note where a set without splits stands in for something else than training data."""
    return (
        () if split == "train" else (f"The source has no splits: all of it serves as {split!r}.",)
    )
