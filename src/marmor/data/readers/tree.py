"""Files under one root, so that a folder and an archive are read by the same code."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from marmor.base.errors import UserError
from marmor.data.classes import natural_key


@dataclass(frozen=True)
class Tree:
    """``names``: the files below ``root``, relative, with forward slashes, in natural order.

    ``load`` gives the bytes of one of them. Hidden files and macOS's archive leftovers are not
    among the names.
    """

    root: Path
    names: tuple[str, ...]
    load: Callable[[str], bytes]

    def where(self, name: str) -> str:
        """How messages call a file."""
        return str(self.root / name)

    def below(self, folder: str) -> "Tree":
        """The part of the tree in one sub-folder; empty where there is none."""
        start = f"{folder}/"
        names = tuple(name.removeprefix(start) for name in self.names if name.startswith(start))
        return Tree(self.root / folder, names, lambda name: self.load(start + name))


def visible(name: str) -> bool:
    """False for hidden files and folders, and for what macOS adds to archives."""
    return not any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


def folder_tree(folder: Path) -> Tree:
    """Every visible file of a folder and its sub-folders; linked folders are followed once.

    Raises UserError for a folder that may not be listed.
    """
    names = []
    seen = set()
    for place, folders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        # A link that leads back up would otherwise be walked without end.
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        relative = Path(place).relative_to(folder)
        names += [(relative / file).as_posix() for file in files]
    ordered = tuple(sorted(filter(visible, names), key=natural_key))
    return Tree(folder, ordered, lambda name: (folder / name).read_bytes())


def _refuse(error: OSError) -> None:
    raise UserError(f"the folder {error.filename} cannot be listed: {error.strerror}.") from error
