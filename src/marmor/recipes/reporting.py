"""From a trained run to a page: samples, figures, numbers, report.html and summary.json."""

import shlex
import time
from dataclasses import dataclass, replace
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
from marmor.figures import (
    Picture,
    Report,
    Section,
    Table,
    Text,
    bars,
    confusion,
    curves,
    pairs,
    save_png,
    write,
)
from marmor.metrics import Agreement, nearest
from marmor.networks.summary import format_summary, summarise
from marmor.recipes.digits import RECIPE, load_images
from marmor.recipes.drawing import Drawn, as_images, draw_with_bar, write_images
from marmor.recipes.generators import Generator
from marmor.recipes.models import LoadedJudge, find_judge, load_generator
from marmor.recipes.pictures import class_grid, process_strip
from marmor.recipes.scoring import (
    Distance,
    accuracy,
    distance_figures,
    figures_of,
    judge_images,
    percent,
    real_features,
)
from marmor.training import RunFolder

GRID_COLUMNS = 10
NEIGHBOURS_OF = 6
NEIGHBOURS = 4
BANK = 20_000
REFERENCES = (
    "Ho, Jain, Abbeel: Denoising Diffusion Probabilistic Models, 2020 (arXiv 2006.11239).",
    "Ho, Salimans: Classifier-Free Diffusion Guidance, 2022 (arXiv 2207.12598).",
    "Lipman et al.: Flow Matching for Generative Modeling, 2023 (arXiv 2210.02747).",
    "Karras et al.: Elucidating the Design Space of Diffusion-Based Generative Models, 2022 "
    "(arXiv 2206.00364).",
    "Lu et al.: DPM-Solver++, 2022 (arXiv 2211.01095).",
    "Kynkäänniemi et al.: Applying Guidance in a Limited Interval, 2024 (arXiv 2404.07724).",
    "Hoogeboom, Heek, Salimans: simple diffusion, 2023 (arXiv 2301.11093).",
    "Peebles, Xie: Scalable Diffusion Models with Transformers, 2023 (arXiv 2212.09748).",
    "Jordan et al.: Muon, 2024 (kellerjordan.github.io/posts/muon).",
    "Heusel et al.: GANs Trained by a Two Time-Scale Update Rule, 2017 (arXiv 1706.08500): the "
    "Fréchet distance.",
    "Ganin et al.: Domain-Adversarial Training of Neural Networks, 2016 (arXiv 1505.07818): MNIST-M.",
)


@dataclass(frozen=True)
class Measured:
    """What a judge says of a run's samples."""

    agreement: Agreement
    unguided: Agreement
    distance: Distance | None


def report(
    path: Path,
    judge: str | None = None,
    per_class: int = 100,
    seed: int = 1,
    beside: str | None = None,
) -> Path:
    """Draws, measures and shows a run of the recipe `digits`; returns the page.

    Args:
        path: the run folder.
        judge: a judge's run, file or shipped name; the shipped one for digits when left out.
        per_class: images drawn and judged of each class.
        seed: of the images; other than the training's own.
        beside: another generator whose grid is shown beside this one's.
    """
    run = RunFolder.open(path, RECIPE)
    generator = load_generator(str(path))
    reader = find_judge(judge, generator.class_names)
    started = time.perf_counter()
    drawn = draw_with_bar(generator, generator.class_names, per_class, seed, "auto")
    seconds = time.perf_counter() - started
    for earlier in (*path.glob("samples/*.png"), *path.glob("figures/*.png")):
        earlier.unlink()
    write_images(drawn, path / "samples")

    measured = _measure(run, generator, reader, drawn, per_class, seed) if reader else None
    figures = _figures(run, generator, drawn, seconds, measured, reader)
    write_json(path / "summary.json", figures)
    images = _pictures(run, generator, drawn, seed, measured, reader)
    if beside is not None:
        images["beside"] = _beside(beside, seed)
    for name, image in images.items():
        save_png(image, path / "figures" / f"{name}.png")
    summary_text = _model_summary(generator)
    write_text(path / "figures" / "model.txt", summary_text + "\n")
    page = path / "report.html"
    write(_page(run, generator, figures, images, measured, reader, summary_text, beside), page)
    return page


def _measure(
    run: RunFolder,
    generator: Generator,
    reader: LoadedJudge,
    drawn: list[Drawn],
    per_class: int,
    seed: int,
) -> Measured:
    images = as_images(drawn, generator)
    reading = judge_images(reader, images)
    plain = replace(generator, drawing=replace(generator.drawing, guidance=1.0))
    unguided = as_images(
        draw_with_bar(plain, generator.class_names, per_class, seed, "auto"), generator
    )
    spec = run.config["settings"]["asked"]["data"]
    try:
        found = real_features(reader, spec, generator.image_shape[1]).distance(reading)
    except UserError as error:
        console.print(f"no Fréchet distance: {error}")
        found = None
    return Measured(
        accuracy(reader, images, reading),
        accuracy(reader, unguided, judge_images(reader, unguided)),
        found,
    )


def _figures(
    run: RunFolder,
    generator: Generator,
    drawn: list[Drawn],
    seconds: float,
    measured: Measured | None,
    reader: LoadedJudge | None,
) -> dict[str, Any]:
    """summary.json: flat figures under dotted names."""
    figures: dict[str, Any] = {
        "sample.seconds": seconds,
        "sample.images": len(drawn),
        "sample.calls": generator.drawing.steps,
        "model.parameters": sum(p.numel() for p in generator.denoiser.parameters()),
    }
    if history := run.history():
        last = history[-1]
        figures |= {
            "train.minutes": last["seconds"] / 60,
            "train.steps": last["step"],
            "train.images": last["images"],
            "train.images_per_second": last["images"] / last["seconds"],
            "train.loss": last["loss"],
        }
    if measured is not None and reader is not None:
        figures |= figures_of(measured.agreement, reader.class_names)
        figures["judge.accuracy.unguided"] = measured.unguided.overall.value
        if measured.distance is not None:
            figures |= distance_figures(measured.distance)
    return figures


def _pictures(
    run: RunFolder,
    generator: Generator,
    drawn: list[Drawn],
    seed: int,
    measured: Measured | None,
    reader: LoadedJudge | None,
) -> dict[str, Image.Image]:
    images = {
        "grid": class_grid(drawn, min(GRID_COLUMNS, len(drawn) // len(generator.class_names))),
        "process": process_strip(generator, generator.class_names[0], seed),
        "neighbours": _neighbours(run, drawn),
    }
    if history := run.history():
        minutes = [line["seconds"] / 60 for line in history]
        losses = [line["loss"] for line in history]
        series = {"loss": (minutes, losses)}
        images["loss"] = curves(series, "minutes of training", "loss", "Loss", logy=True)
    probed = [line for line in history if "judge.accuracy" in line]
    if probed:
        read_right = [100 * line["judge.accuracy"] for line in probed]
        series = {"accuracy": ([line["seconds"] / 60 for line in probed], read_right)}
        images["accuracy"] = curves(series, "minutes of training", "% read right", "Accuracy")
    if measured is not None and reader is not None:
        names, result = reader.class_names, measured.agreement
        shares = [(part.value, part.low, part.high) for part in result.per_class]
        images["classes"] = bars(names, shares, "Read as asked, by class (95 % intervals)")
        images["confusion"] = confusion(result.confusion, names, "Asked and read")
    return images


def _neighbours(run: RunFolder, drawn: list[Drawn]) -> Image.Image:
    """Some samples beside the training images nearest in pixels."""
    asked = run.config["settings"]["asked"]
    data = load_images(asked["data"], asked["size"])
    order = torch.randperm(len(data), generator=torch_stream(0, "neighbours"))[:BANK]
    bank = data.images[order]
    classes = list(dict.fromkeys(item.class_name for item in drawn))[:NEIGHBOURS_OF]
    firsts = [next(item for item in drawn if item.class_name == name) for name in classes]
    samples = torch.stack([item.image for item in firsts])
    found = nearest(_flat(samples), _flat(bank), min(NEIGHBOURS, len(bank)))
    return pairs(samples, bank[found.indices], row_labels=classes)


def _flat(images: Tensor) -> Tensor:
    return to_unit(images).flatten(1)


def _beside(spec: str, seed: int) -> Image.Image:
    other = load_generator(spec)
    drawn = draw_with_bar(other, other.class_names, GRID_COLUMNS, seed, "auto")
    return class_grid(drawn, GRID_COLUMNS)


def _model_summary(generator: Generator) -> str:
    example = (
        torch.zeros(1, *generator.image_shape),
        torch.zeros(1),
        {name: kind.none(1) for name, kind in generator.denoiser.kinds.items()},
    )
    return format_summary(summarise(generator.denoiser.network, *example))


def _page(
    run: RunFolder,
    generator: Generator,
    figures: dict[str, Any],
    images: dict[str, Image.Image],
    measured: Measured | None,
    reader: LoadedJudge | None,
    summary_text: str,
    beside: str | None,
) -> Report:
    return Report(
        title=f"{run.path.name}: images on request",
        lead=_lead(run, generator, figures),
        headline=_headline(figures, measured),
        sections=[
            _drawn_section(generator, images, beside),
            _judged_section(images, measured, reader),
            _training_section(images, summary_text),
        ],
        facts=_facts(run, generator, reader),
        commands=_commands(run),
        files=_files(run),
        references=REFERENCES,
    )


def _lead(run: RunFolder, generator: Generator, figures: dict[str, Any]) -> str:
    data = run.config["settings"]["data"]
    asked = run.config["settings"]["asked"]
    minutes = figures.get("train.minutes", 0.0)
    return (
        f"A diffusion model trained from nothing for {minutes:.1f} minutes on {data['count']:,} "
        f"images of {asked['data']} in {len(generator.class_names)} classes. Every image on this "
        "page that is not called a training image was drawn by the model."
    )


def _headline(figures: dict[str, Any], measured: Measured | None) -> list[tuple[str, str, str]]:
    cards = []
    if measured is not None:
        overall = measured.agreement.overall
        interval = f"95 % interval {100 * overall.low:.1f} to {100 * overall.high:.1f} %"
        cards.append(
            ("read as asked", f"{100 * overall.value:.1f} %", f"{interval}; {overall.count} images")
        )
        unguided = percent(measured.unguided.overall)
        cards.append(
            ("without guidance", unguided.split(" (")[0], "how well the model itself fits")
        )
        if measured.distance is not None:
            found = measured.distance
            note = f"on judge features; {found.floor:.3f} for as many real training images"
            cards.append(("Fréchet distance", f"{found.value:.3f}", note))
    speed = figures["sample.images"] / figures["sample.seconds"]
    cards.append(
        ("drawn a second", f"{speed:.0f}", f"{figures['sample.calls']} network calls each")
    )
    return cards


def _drawn_section(
    generator: Generator, images: dict[str, Image.Image], beside: str | None
) -> Section:
    how = generator.drawing
    items: list[Picture | Table | Text] = [
        Picture(
            "Ten by ten",
            "Rows are the classes asked for, columns are other noises.",
            "Grid of generated images, one row for each class.",
            images["grid"],
        ),
        Picture(
            "Carved out of noise",
            f"The first image of class {generator.class_names[0]!r} at six times, noise to image.",
            "Six frames from noise to a finished image.",
            images["process"],
        ),
    ]
    if "beside" in images:
        items.append(
            Picture(
                "Beside it: the model that ships with marmor",
                f"{beside}, trained for longer and on more images than the one above "
                "(see docs/digits.md for what it was trained on).",
                "Grid of images generated by the shipped model.",
                images["beside"],
            )
        )
    lead = (
        f"Drawn with {how.solver}, {how.steps} steps, guidance {how.guidance:g} while "
        f"{how.guided_from:g} ≤ t ≤ {how.guided_to:g}."
    )
    return Section("What it draws", lead, items)


def _judged_section(
    images: dict[str, Image.Image], measured: Measured | None, reader: LoadedJudge | None
) -> Section:
    items: list[Picture | Table | Text] = []
    if measured is None or reader is None:
        lead = (
            "No judge knows these classes, so nothing is claimed about them. Train one with "
            "`marmor train judge --data …` and pass it with --judge."
        )
    else:
        lead = (
            f"The judge {reader.origin} reads every image; what it reads is compared with what was "
            "asked. A judge errs too, and guidance favours typical images, so this can lie above "
            "what it gets on real ones."
        )
        items += [
            Picture(
                "By class",
                "Share read as the class asked for, with 95 % Wilson intervals.",
                "Bar chart of accuracy for each class.",
                images["classes"],
            ),
            Picture(
                "What is taken for what",
                "Rows: asked for. Columns: read.",
                "Confusion matrix of classes asked for and read.",
                images["confusion"],
            ),
        ]
    items.append(
        Picture(
            "Nearest training images",
            "Generated images at the left, beside the training images nearest in pixels: a model "
            "that copies would show the same picture twice.",
            "Generated images beside their nearest training images.",
            images["neighbours"],
        )
    )
    return Section("What a judge reads", lead, items)


def _training_section(images: dict[str, Image.Image], summary_text: str) -> Section:
    items: list[Picture | Table | Text] = []
    if "loss" in images:
        items.append(
            Picture("Loss", "Mean over 20 steps.", "Curve of the training loss.", images["loss"])
        )
    if "accuracy" in images:
        items.append(
            Picture(
                "Accuracy over training",
                "A few guided images of the averaged model, judged at up to eight milestones.",
                "Curve of judged accuracy over minutes.",
                images["accuracy"],
            )
        )
    lines = summary_text.splitlines()
    rows = [line.split() for line in lines[2:-2]]
    table_rows = [[row[0], row[1], " ".join(row[2:-1]), row[-1]] for row in rows]
    items.append(
        Table("The network", ["layer", "type", "output", "parameters"], table_rows, lines[-1])
    )
    return Section("How it was trained", "", items)


def _facts(
    run: RunFolder, generator: Generator, reader: LoadedJudge | None
) -> dict[str, str | int | float]:
    settings = run.config["settings"]
    asked, data = settings["asked"], settings["data"]
    machine = run.environment
    return {
        "data": asked["data"],
        "images": data["count"],
        "conversions": " ".join(data["notes"]) or "none",
        "fingerprint of the data": data["fingerprint"],
        "image shape": " × ".join(map(str, generator.image_shape)),
        "network": asked["network"],
        "seed": asked["seed"],
        "judge": reader.origin if reader else "none",
        "processor": machine["processor"],
        "threads": machine["threads"],
        "packages": ", ".join(f"{name} {number}" for name, number in machine["packages"].items()),
    }


def _commands(run: RunFolder) -> list[str]:
    asked = run.config["settings"]["asked"]
    given = {key: str(value) for key, value in asked.items() if value is not None}
    words = [word for key, value in given.items() for word in (f"--{key}", value)]
    return [
        shlex.join(["marmor", "train", "digits", *words]),
        shlex.join(["marmor", "report", str(run.path)]),
        shlex.join(["marmor", "sample", str(run.path), "--out", "samples", "--per-class", "100"]),
    ]


def _files(run: RunFolder) -> list[tuple[str, str]]:
    named = [
        ("summary.json", "every figure of this page under a dotted name"),
        ("config.json", "what was asked for, the model's shape, the data's fingerprint"),
        ("environment.json", "packages and machine"),
        ("metrics.jsonl", "the training log, a line every 20 steps"),
        ("samples", "the judged images, <class>_<nnn>.png"),
        ("figures", "the pictures of this page"),
        ("checkpoints", "weights as safetensors, and what a resume needs"),
    ]
    return [(name, what) for name, what in named if (run.path / name).exists()]
