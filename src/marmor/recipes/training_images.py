"""Images as the networks take them, and the check that a run goes on with its own."""

from pathlib import Path
from typing import Any

from marmor.base.errors import UserError
from marmor.data import ImageSet, MixedSizesError, join, read, require_classes
from marmor.recipes.designs import multiple
from marmor.training import RunFolder

LARGEST_SIDE = 64
DEFAULT_SIDE = 32
SMALLEST_SIDE = 8


def load_images(spec: str, size: int | None) -> ImageSet:
    """Labelled training images at a size that the networks take.

    Mixed or large images become 32×32; other sides are rounded to a multiple of 4, from 64 on of 8.
    Notes say so.
    """
    data = load_unlabelled(spec, size)
    require_classes(data)
    return data


def load_unlabelled(spec: str, size: int | None) -> ImageSet:
    """The same for images whose labels, if they have any, do not matter."""
    try:
        data = read(spec, "train", size)
    except MixedSizesError:
        data = read(spec, "train", DEFAULT_SIDE)
    height, width = data.size
    side = min(height, width)
    if size is None and side > LARGEST_SIDE:
        return data.resized(DEFAULT_SIDE)
    rounded = max(multiple(side) * round(side / multiple(side)), SMALLEST_SIDE)
    return data if height == width == rounded else data.resized(rounded)


def named_spec(text: str) -> tuple[str, str]:
    """``NAME=PATH``, or a path or an embedded name, which names itself → (name, spec)."""
    name, equals, spec = text.partition("=")
    if equals and "/" not in name:
        return name, spec
    return Path(text).name.split(".")[0], text


def specs_of(run: RunFolder) -> dict[str, str]:
    """What a run was trained on, by domain; of a run of one domain, under the name ""."""
    data = run.config["settings"]["asked"]["data"]
    return {"": data} if isinstance(data, str) else dict(map(named_spec, data))


def images_of(run: RunFolder) -> ImageSet:
    """The images that a run was trained on, without labels."""
    size = run.config["settings"]["model"]["image_shape"][1]
    return join([load_unlabelled(spec, size).unlabelled() for spec in specs_of(run).values()])


def facts_of(data: ImageSet) -> dict[str, Any]:
    """What config.json keeps of the images that a run is trained on."""
    return {"count": len(data), "fingerprint": data.fingerprint(), "notes": list(data.notes)}


def check_same_images(run: RunFolder, data: ImageSet, what: str = "data") -> None:
    """Raises UserError where ``data`` is not what the run began with, as ``what`` in its config tells."""
    check_same(run, data.fingerprint(), what)


def check_same(run: RunFolder, fingerprint: str, what: str = "data") -> None:
    """Raises UserError where the run began with data of another fingerprint."""
    if fingerprint != run.config["settings"][what]["fingerprint"]:
        raise UserError(
            f"the {what} changed since {run.path} began (another fingerprint); "
            "a run can only go on with the images it started with."
        )
