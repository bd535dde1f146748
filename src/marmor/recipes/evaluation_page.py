"""An evaluation told: printed, summary.json, the table, the picture of neighbours, the page."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from marmor.base.files import write_json
from marmor.base.progress import console
from marmor.figures import Picture, Report, Section, Table, Text, pairs, save_png, write
from marmor.metrics import ENLARGED
from marmor.recipes.evaluating import Copies, Evaluation
from marmor.recipes.face_shares import HOW as HOW_FACES
from marmor.recipes.features import Instrument
from marmor.recipes.tables import show_table

COLUMNS = ("measure", "value", "low", "high")
SHOWN = 8
"""Samples whose nearest training images are shown: the closest ones."""
WORDS = {
    "precision": "precision: of the generated, like real ones",
    "recall": "recall: of the real, within reach",
    "density": "density: about 1 where generated lie as thick as real",
    "coverage": "coverage: of the real, with a generated one near",
    "copies.closer": "closer to training images than held-out ones are (0.5: no closer)",
    "judge.accuracy": "read as the file's name says",
    "faces.share": f"exactly one face found, images enlarged to {ENLARGED} pixels for the detector",
    "faces.share.real": "the same, real images",
    "faces.share.noise": "the same, noise",
}
HOW = (
    "Intervals of 95 %: of shares of images Wilson's; of all others by 20 random splits of both sets into "
    "halves and quarters. Precision, recall, density and coverage are taken of equally many images on either "
    "side. Faces are counted by dlib's HOG detector, without up-sampling of its own, in images that are "
    f"enlarged bicubically until their shorter side has {ENLARGED} pixels."
)
REFERENCES = (
    "Heusel et al.: GANs Trained by a Two Time-Scale Update Rule, 2017 (arXiv 1706.08500): the Fréchet "
    "distance.",
    "Chong, Forsyth: Effectively Unbiased FID and Inception Score, 2020 (arXiv 1911.07023): extrapolation.",
    "Bińkowski et al.: Demystifying MMD GANs, 2018 (arXiv 1801.01401): the kernel distance.",
    "Kynkäänniemi et al.: Improved Precision and Recall, 2019 (arXiv 1904.06991).",
    "Naeem et al.: Reliable Fidelity and Diversity Metrics, 2020 (arXiv 2002.09797): density and coverage.",
    "Meehan, Chaudhuri, Dasgupta: A Non-Parametric Test to Detect Data-Copying, 2020 (arXiv 2004.05675).",
)


def tell(found: Evaluation, out: Path | None) -> None:
    """Prints what was found and writes it into ``out``: summary.json, table, picture and page."""
    for sentence in found.warnings:
        console.print(f"note: {sentence}")
    figures = summary(found)
    rows = rows_of(found)
    show_table(COLUMNS, rows, out)
    if out is None:
        return
    write_json(out / "summary.json", figures)
    pictures = {"neighbours": neighbours(found, found.copies)} if found.copies else {}
    (out / "figures" / "neighbours.png").unlink(missing_ok=True)  # of an evaluation before this one
    for name, image in pictures.items():
        save_png(image, out / "figures" / f"{name}.png")
    write(page(found, rows, pictures), out / "report.html")
    console.print(f"written: {out / 'summary.json'}, {out / 'report.html'}")


def measures(found: Evaluation) -> dict[str, tuple[float, float, float]]:
    """Value and interval of everything measured, by the names of summary.json."""
    every: dict[str, tuple[float, float, float]] = {
        name: (figure.value, figure.low, figure.high) for name, figure in found.of_splits().items()
    }
    if found.agreement is not None:
        every["judge.accuracy"] = found.agreement[:3]
    if found.faces is not None:
        every["faces.share"] = found.faces.drawn[:3]
        every["faces.share.real"] = found.faces.real[:3]
        every["faces.share.noise"] = found.faces.noise[:3]
    return every


def summary(found: Evaluation) -> dict[str, Any]:
    """summary.json: flat figures under dotted names, each with its 95 % interval, and what must be known."""
    figures: dict[str, Any] = {}
    for name, (value, low, high) in measures(found).items():
        figures |= {name: value, f"{name}.low": low, f"{name}.high": high}
    return figures | {
        "generated": found.name,
        "generated.images": len(found.generated),
        "real.images": len(found.real),
        "features": found.by.title,
        "features.dimension": found.by.extractor.dimension,
        "warnings": list(found.warnings),
        **(HOW_FACES if found.faces is not None else {}),
    }


def rows_of(found: Evaluation) -> list[list[str]]:
    """The table: a row for each measure, shares as shares."""
    return [
        [title_of(name, found.by), *(f"{number:.4g}" for number in numbers)]
        for name, numbers in measures(found).items()
    ]


def title_of(measure: str, by: Instrument) -> str:
    """A measure as people read it; a Fréchet distance is called FID on the FID network's features alone."""
    if measure in WORDS:
        return WORDS[measure]
    kind, _, rest = measure.partition(".")
    fid = by.name == "inception"
    if kind == "kernel":
        return "KID" if fid else f"kernel distance on {by.title}"
    title = "FID" if fid else f"Fréchet distance on {by.title}"
    return f"{title}, extrapolated to infinitely many" if rest.endswith("extrapolated") else title


def neighbours(found: Evaluation, copies: Copies) -> Image.Image:
    """The samples closest to training images, beside the nearest of them."""
    closest = copies.neighbours.distances[:, 0].argsort()[:SHOWN]
    names = found.generated.names or tuple(map(str, range(len(found.generated))))
    return pairs(
        found.generated.images[closest],
        copies.training.images[copies.neighbours.indices[closest]],
        row_labels=[Path(names[i]).name for i in closest.tolist()],
    )


def page(
    found: Evaluation, rows: Sequence[Sequence[str]], pictures: dict[str, Image.Image]
) -> Report:
    """The page of one evaluation."""
    known = [Text("What must be known of them", found.warnings)] if found.warnings else []
    table = Table("Figures", COLUMNS, rows, HOW)
    sections = [Section("Are they like the real ones?", items=[table, *known])]
    for image in pictures.values():
        shown = Picture(
            "Nearest training images",
            f"The {SHOWN} samples that lie closest to a training image, in the features that measured.",
            "Rows of one generated image and the training images nearest to it.",
            image,
        )
        sections.append(Section("Are they copies?", items=[shown]))
    return Report(
        title=f"{found.name} against real images",
        lead=f"{len(found.generated):,} generated images, held against {len(found.real):,} real ones.",
        sections=sections,
        commands=[shlex.join(["marmor", "evaluate", found.name, *found.words])],
        facts={"features": found.by.title, "dimensions": found.by.extractor.dimension},
        files=[("summary.json", "every figure"), ("table.csv", "the table")],
        references=REFERENCES,
    )
