"""Files inside installed packages."""

from importlib.util import find_spec
from pathlib import Path

from marmor.base.errors import UserError


def packaged(package: str, name: str) -> Path:
    """A file inside an installed package, found without importing it.

    Raises UserError where the package is not installed.
    """
    found = find_spec(package)
    path = Path(found.origin).parent / name if found and found.origin else None
    if path is None or not path.is_file():
        raise UserError(
            f"the embedded data need the file {name} of the package {package}, which is not "
            "installed; run: pip install 'marmor[demo]'."
        )
    return path
