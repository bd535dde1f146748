"""What every report of a run that draws needs: nearest training images, real faces, files and the page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.files import write_json, write_text
from marmor.base.pixels import to_unit
from marmor.base.progress import console
from marmor.base.seeds import torch_stream
from marmor.data import ImageSet
from marmor.figures import Report, curves, pairs, save_png, write
from marmor.metrics import can_detect, nearest
from marmor.recipes import domains
from marmor.recipes.drawing import Drawn
from marmor.recipes.face_shares import RealFaces, real_faces
from marmor.recipes.folders import FACE_RECIPES
from marmor.recipes.training_images import images_of
from marmor.training import RunFolder

NEIGHBOURS_OF = 6
NEIGHBOURS = 4
BANK = 20_000
"""Training images, drawn at random, that samples are compared with."""

PROBED = {"judge.accuracy": "% read right", "objects.found": "% of objects found"}
"""What milestones log, and how it is called in a picture."""


Curve = tuple[list[float], list[float]]
"""x and y of what is drawn over time."""


def check_real(run: RunFolder, real: str | None) -> None:
    """Raises UserError where held-out faces are named for a run of other pictures."""
    if real is not None and run.recipe not in FACE_RECIPES:
        raise UserError(
            f"--real is for runs of faces; {run.path} is measured on its own test split."
        )


def faces_to_compare(run: RunFolder, real: str | None, side: int) -> RealFaces | None:
    """What drawn faces are compared with; None for other runs, and where no detector is installed."""
    if run.recipe not in FACE_RECIPES:
        return None
    if not can_detect():
        console.print("no detector of faces is installed: pip install 'marmor[faces]'")
        return None
    return real_faces(run.config["settings"]["asked"]["data"], real, side)


def neighbours_of(run: RunFolder, drawn: Sequence[Drawn]) -> tuple[Image.Image, int]:
    """Some samples beside the nearest in pixels of many training images, and of how many."""
    data = _trained_on(run)
    order = torch.randperm(len(data), generator=torch_stream(0, "neighbours"))[:BANK]
    bank = data.images[order]
    firsts = sorted(drawn, key=lambda item: item.ask.number)[
        :NEIGHBOURS_OF
    ]  # of each class in turn
    samples = torch.stack([item.image for item in firsts])
    found = nearest(_flat(samples), _flat(bank), min(NEIGHBOURS, len(bank)))
    names = [item.ask.file.removesuffix(".png") for item in firsts]
    return pairs(samples, bank[found.indices], row_labels=names), len(bank)


def _trained_on(run: RunFolder) -> ImageSet:
    """The images that a run was trained on; of several domains without the combinations held out."""
    if run.recipe == domains.RECIPE:
        return domains.load_domains(domains.settings_of(run))
    return images_of(run)


def taken(run: RunFolder) -> dict[str, Any]:
    """What training took, for summary.json; {} where nothing was logged."""
    history = run.history()
    if not history:
        return {}
    last = history[-1]
    return {
        "train.minutes": last["seconds"] / 60,
        "train.steps": last["step"],
        "train.images": last["images"],
        "train.images_per_second": last["images"] / last["seconds"],
    }


def training_curves(run: RunFolder) -> dict[str, Image.Image]:
    """The loss, and what judges said at milestones, over minutes."""
    images: dict[str, Image.Image] = {}
    history = run.history()
    if history:
        minutes = [line["seconds"] / 60 for line in history]
        series = {"loss": (minutes, [line["loss"] for line in history])}
        images["loss"] = curves(series, "minutes of training", "loss", "Loss", logy=True)
    for figure, words in PROBED.items():
        if series := _probed(history, figure):
            images["accuracy"] = curves(series, "minutes of training", words, "Accuracy")
    return images


def _probed(history: Sequence[Mapping[str, Any]], figure: str) -> Mapping[str, Curve]:
    """What judges said of a figure over minutes; of each domain apart where not every one has a judge."""
    named = dict.fromkeys(name for line in history for name in line if name.startswith(figure))
    series: dict[str, Curve] = {}
    for name in [figure] if figure in named else named:
        probed = [line for line in history if name in line]
        shares = [100 * line[name] for line in probed]
        label = name.removeprefix(f"{figure}.") if name != figure else "accuracy"
        series[label] = ([line["seconds"] / 60 for line in probed], shares)
    return series


def clear(path: Path) -> None:
    """Removes what an earlier report drew."""
    for earlier in (*path.glob("samples/**/*.png"), *path.glob("figures/*.png")):
        earlier.unlink()


def publish(
    run: RunFolder,
    figures: Mapping[str, Any],
    images: Mapping[str, Image.Image],
    network: str,
    report: Report,
) -> Path:
    """Writes summary.json, the pictures, the layers as text, and the page, which is returned."""
    write_json(run.path / "summary.json", figures)
    for name, image in images.items():
        save_png(image, run.path / "figures" / f"{name}.png")
    write_text(run.path / "figures" / "model.txt", network + "\n")
    write(report, run.path / "report.html")
    return run.path / "report.html"


def _flat(images: Tensor) -> Tensor:
    return to_unit(images).flatten(1)
