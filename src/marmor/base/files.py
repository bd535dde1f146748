"""Files that are whole or absent, and paths that stay in their folder."""

import csv
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from marmor.base.errors import UserError


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path``; on success it takes the place of ``path`` at once.

    A write that fails (full disk, folder without permission, interruption) leaves what stood there
    before. Raises UserError where the operating system refuses the write.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent
        )
        os.close(handle)
    except OSError as error:
        raise _refused(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        flush(temporary)
        temporary.replace(path)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Waits until a file, or a folder's list of files, lies on the disk and survives a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_csv(path: Path, rows: Iterable[Iterable[object]]) -> None:
    """Writes a table, its header first, whole or not at all."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(path, text.getvalue())


def read_json(path: Path) -> Any:
    """Reads JSON; UserError where the file is missing or is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}.") from error
    except RecursionError:
        raise UserError(f"{path} cannot be read as JSON: lists lie in lists too deeply.") from None


def read_settings(path: Path) -> dict[str, Any]:
    """Reads JSON that maps names to values; UserError where the file is missing or holds anything else."""
    settings = read_json(path)
    if not isinstance(settings, dict):
        raise UserError(f"{path} should hold settings by name; it is damaged.")
    return settings


def read_csv(path: Path) -> list[list[str]]:
    """The rows of a table, its header first; UserError where the file cannot be read."""
    try:
        return list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read: {error}.") from error


def fingerprint_of(files: Iterable[tuple[str, Path]], start: str = "") -> str:
    """32 hex digits of files by the names they go by, and of ``start``; files are read piece by piece.

    Raises UserError where one cannot be read.
    """
    digest = hashlib.blake2b(start.encode(), digest_size=16)
    for name, path in files:
        digest.update(name.encode())
        try:
            with path.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "blake2b").digest())
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    return digest.hexdigest()


def check_folder(path: Path) -> None:
    """Raises UserError where no folder can be written at ``path``: before long work that it is for."""
    whole = path.absolute()
    there = next(place for place in (whole, *whole.parents) if place.exists())
    if not there.is_dir():
        raise UserError(
            f"{path} cannot be a folder, since {there} is a file; choose another --out."
        )
    if not os.access(there, os.W_OK):
        raise UserError(f"{there} may not be written to; choose another --out.")


def inside(folder: Path, name: str) -> Path:
    """``folder / name``, where a file list names it; UserError when that leaves the folder."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{name!r} points outside its folder {folder}; only files inside are read.")
    return path


def _refused(path: Path, error: OSError) -> UserError:
    reason = error.strerror or str(error)
    return UserError(f"cannot write {path}: {reason}. Free some space or choose another folder.")
