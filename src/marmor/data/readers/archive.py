"""Zip archives read in memory: nothing is ever extracted to disk."""

import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from marmor.base.errors import UserError
from marmor.data.classes import natural_key
from marmor.data.readers.tree import Tree, visible

_DRIVE = re.compile(r"[A-Za-z]:")

# What an archive may grow to in memory.
LARGEST = 8 * 1024**3

# What Python's zip reader raises for damage, encryption and unknown compression.
_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)


@contextmanager
def archive_tree(path: Path) -> Iterator[Tree]:
    """The files of a ``.zip`` as a tree that can be read until the context ends.

    Raises UserError for a damaged or encrypted archive, for members whose path leaves it, and for
    one larger than ``LARGEST`` when decompressed.
    """
    try:
        archive = zipfile.ZipFile(path)
    except _FAULTS as error:
        raise _damaged(path, error) from error
    with archive:
        check_size(archive, path)
        names = [member.filename for member in archive.infolist() if not member.is_dir()]
        for name in names:
            _check_member(name, path)

        def load(name: str) -> bytes:
            try:
                return archive.read(name)
            except _FAULTS as error:
                raise _damaged(path / name, error) from error

        yield Tree(path, tuple(sorted(filter(visible, names), key=natural_key)), load)


def check_size(archive: zipfile.ZipFile, path: Path) -> None:
    """UserError where the decompressed members together exceed ``LARGEST`` bytes."""
    total = sum(member.file_size for member in archive.infolist())
    if total > LARGEST:
        raise UserError(
            f"{path} would decompress to {total / 1024**3:.1f} GiB, more than the "
            f"{LARGEST / 1024**3:.3g} GiB that are read into memory; split it or give a folder."
        )


def _check_member(name: str, path: Path) -> None:
    member = PurePosixPath(name)
    if member.is_absolute() or ".." in member.parts or "\\" in name or _DRIVE.match(name):
        raise UserError(
            f"{path} has a member {name!r} that points outside the archive; make the archive anew "
            "with plain relative paths."
        )


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(
        f"{path} cannot be read from its zip archive ({error}); expected a whole, unencrypted zip "
        "file, so get or make it again."
    )
