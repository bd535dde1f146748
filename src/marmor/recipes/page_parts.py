"""Parts that pages of several kinds of runs share."""

import shlex
from collections.abc import Sequence
from typing import Any

from PIL import Image

from marmor.figures import Picture, Table
from marmor.recipes.commands import options
from marmor.recipes.face_shares import FaceShares
from marmor.recipes.training_images import specs_of
from marmor.training import RunFolder

DETECTOR = (
    "A detector of faces (HOG, dlib) looks at every image; one face in it counts. It does not "
    "tell whether the face is a good one."
)
NO_DETECTOR = (
    "Nothing was measured: for faces, install their detector with pip install 'marmor[faces]'."
)


def faces_card(faces: FaceShares) -> tuple[str, str, str]:
    """How often one face was found, beside real images and noise."""
    note = (
        f"of {faces.drawn.count} drawn; {100 * faces.real.value:.1f} % of {faces.real.count} "
        f"{faces.what}, {100 * faces.noise.value:.1f} % of noise"
    )
    return "one face found", f"{100 * faces.drawn.value:.1f} %", note


def neighbours_picture(image: Image.Image, searched: int) -> Picture:
    return Picture(
        "Nearest training images",
        f"Generated images at the left, beside those nearest in pixels of {searched:,} training "
        "images: a model that copies would show the same picture twice.",
        "Generated images beside their nearest training images.",
        image,
    )


def network_table(title: str, text: str) -> Table:
    """A model summary as a table; ``text`` as ``format_summary`` gives it."""
    lines = text.splitlines()
    rows = [line.split() for line in lines[2:-2]]
    cells = [[row[0], row[1], " ".join(row[2:-1]), row[-1]] for row in rows]
    return Table(title, ["layer", "type", "output", "parameters"], cells, lines[-1])


def facts_of_data(run: RunFolder) -> dict[str, str | int | float]:
    data = run.config["settings"]["data"]
    return {
        "data": " and ".join(specs_of(run).values()),
        "images": data["count"],
        "conversions": " ".join(data["notes"]) or "none",
        "fingerprint of the data": data["fingerprint"],
    }


def facts_of_machine(run: RunFolder) -> dict[str, str | int | float]:
    machine = run.environment
    return {
        "processor": machine["processor"],
        "threads": machine["threads"],
        "packages": ", ".join(f"{name} {number}" for name, number in machine["packages"].items()),
    }


def training_command(run: RunFolder) -> str:
    """The commands that train the run again: one, and another for each longer budget it was given."""
    asked = run.config["settings"]["asked"]
    # A size of None is a wish too: the images' own.
    given = asked | {"size": str(asked["size"])} if "size" in asked else asked
    first, *longer = budgets_of(run)
    return and_longer(run, ["marmor", "train", run.recipe, *options(given | first)], longer)


def budgets_of(run: RunFolder) -> list[dict[str, Any]]:
    """Every budget that a run was given, in order, by unit; [{}] of one that keeps what it was asked for."""
    settings = run.config["settings"]
    budgets = [each["budget"] for each in settings.get("budgets", [])]
    if not budgets:
        return [{}]
    return [*budgets, {unit: settings["asked"][unit] for unit in budgets[0]}]


def and_longer(run: RunFolder, begun: Sequence[str], longer: Sequence[dict[str, Any]]) -> str:
    """The command that began a run, and after it one for each longer budget."""
    resumed = [["marmor", "resume", str(run.path), *options(each)] for each in longer]
    return " && ".join(map(shlex.join, [begun, *resumed]))


def files_of(run: RunFolder, more: Sequence[tuple[str, str]] = ()) -> list[tuple[str, str]]:
    """What lies in a run folder, and ``more`` that only some kinds of runs have."""
    named = [
        ("summary.json", "every figure of this page under a dotted name"),
        ("config.json", "what was asked for, the model's shape, the data's fingerprint"),
        ("environment.json", "packages and machine"),
        ("metrics.jsonl", "the training log"),
        ("samples", "the images that were drawn"),
        ("figures", "the pictures of this page"),
        ("checkpoints", "weights as safetensors, and what a resume needs"),
        *more,
    ]
    return [(name, what) for name, what in named if (run.path / name).exists()]
