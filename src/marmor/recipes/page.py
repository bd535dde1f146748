"""A run told as a page: what its sections, cards, facts and files say."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from marmor.figures import Picture, Report, Section, Table, Text
from marmor.metrics import Agreement, Share
from marmor.recipes.denoising import DiffusionGenerator
from marmor.recipes.face_shares import FaceShares
from marmor.recipes.folders import note_of
from marmor.recipes.models import LoadedJudge
from marmor.recipes.page_parts import (
    DETECTOR,
    NO_DETECTOR,
    faces_card,
    facts_of_data,
    facts_of_machine,
    files_of,
    neighbours_picture,
    network_table,
    training_command,
)
from marmor.recipes.references import references_of
from marmor.recipes.scene_reporting import Scenes, sections
from marmor.recipes.scene_reporting import cards as scene_cards
from marmor.recipes.scoring import Distance, percent
from marmor.recipes.training_images import specs_of
from marmor.training import RunFolder


@dataclass(frozen=True)
class Measured:
    """What a judge says of a run's samples."""

    reader: LoadedJudge
    agreement: Agreement
    unguided: Agreement
    distance: Distance | None


@dataclass(frozen=True)
class Findings:
    """Everything that a page tells of a run.

    Args:
        run: its folder.
        generator: its averaged model.
        figures: summary.json.
        images: pictures by name.
        network: the layers as a table of text.
        measured: what judges say, by domain; empty where none knows the classes.
        searched: training images among which the nearest were looked for.
        faces: how often a face is found; None for other pictures than faces.
        beside: another generator whose grid is shown too.
        scenes: what is told of a model of scenes, in place of what judges of classes say.
        words: what else a person asked the report for.
    """

    run: RunFolder
    generator: DiffusionGenerator
    figures: dict[str, Any]
    images: dict[str, Image.Image]
    network: str
    measured: Mapping[str, Measured]
    searched: int = 0
    faces: FaceShares | None = None
    beside: str | None = None
    scenes: Scenes | None = None
    words: tuple[str, ...] = ()


def held_out(run: RunFolder, measured: Mapping[str, Measured]) -> dict[str, Share]:
    """How often combinations are read as asked that a run never trained on, of those that a judge reads."""
    shares: dict[str, Share] = {}
    for combination in run.config["settings"]["asked"].get("hold_out", ()):
        domain, _, name = combination.partition("/")
        if (found := measured.get(domain)) is not None:
            place = found.reader.class_names.index(name)
            shares[combination] = found.agreement.per_class[place]
    return shares


def page(found: Findings) -> Report:
    """The page of a run."""
    what = "images on request" if found.generator.vocabulary else "images out of noise"
    how = f"Drawn with {found.generator.drawing.solver}, {found.generator.drawing.steps} steps"
    if found.scenes is not None:
        guided = f"{how}, guidance {found.generator.drawing.guidance:g}."
        first = [*sections(found.scenes, guided), _likeness_section(found)]
    else:
        first = [_drawn_section(found), _judged_section(found)]
    return Report(
        title=f"{found.run.path.name}: {what}",
        lead=_lead(found),
        headline=_headline(found),
        sections=[*first, _training_section(found)],
        facts=_facts(found),
        commands=_commands(found),
        files=files_of(found.run),
        references=_references(found),
    )


def _lead(found: Findings) -> str:
    settings = found.run.config["settings"]
    classes = len(found.generator.class_names)
    return (
        f"A diffusion model trained from nothing for {found.figures.get('train.minutes', 0.0):.1f} "
        f"minutes on {settings['data']['count']:,} images of {' and '.join(specs_of(found.run).values())}"
        f"{f' in {classes} classes' if classes else ''}. Every image on this page that is not called a "
        "training image was drawn by the model."
    )


def _headline(found: Findings) -> list[tuple[str, str, str]]:
    cards = [
        card
        for domain, measured in found.measured.items()
        for card in _judge_cards(domain, measured)
    ]
    cards += [
        _share_card(f"{name}, never trained on: read as asked", part)
        for name, part in held_out(found.run, found.measured).items()
    ]
    if found.scenes is not None:
        cards += scene_cards(found.scenes)
    if found.faces is not None:
        cards.append(faces_card(found.faces))
    figures = found.figures
    speed = figures["sample.images"] / figures["sample.seconds"]
    cards.append(
        ("drawn a second", f"{speed:.0f}", f"{figures['sample.calls']} network calls each")
    )
    return cards


def _judge_cards(domain: str, measured: Measured) -> list[tuple[str, str, str]]:
    where = f"{domain}: " if domain else ""
    cards = [_share_card(f"{where}read as asked", measured.agreement.overall)]
    unguided = percent(measured.unguided.overall)
    cards.append(
        (f"{where}without guidance", unguided.split(" (")[0], "how well the model itself fits")
    )
    if measured.distance is not None:
        distance = measured.distance
        note = f"on judge features; {distance.floor:.3f} for as many real training images"
        cards.append((f"{where}Fréchet distance", f"{distance.value:.3f}", note))
    return cards


def _share_card(title: str, part: Share) -> tuple[str, str, str]:
    interval = f"95 % interval {100 * part.low:.1f} to {100 * part.high:.1f} %"
    return title, f"{100 * part.value:.1f} %", f"{interval}; {part.count} images"


def _drawn_section(found: Findings) -> Section:
    generator, images = found.generator, found.images
    how, names = generator.drawing, generator.class_names
    which = f"The first image of class {names[0]!r}" if names else "The first image"
    items: list[Picture | Table | Text] = []
    for domain in generator.domains:
        items += [
            Picture(
                in_domain("Drawn", domain),
                "Rows are the classes asked for, columns are other noises."
                if names
                else "Each from a noise of its own.",
                f"Grid of generated images{', one row for each class' if names else ''}.",
                images[of("grid", domain)],
            ),
            Picture(
                in_domain("Carved out of noise", domain),
                f"{which} at six times, noise to image.",
                "Six frames from noise to a finished image.",
                images[of("process", domain)],
            ),
        ]
    if found.beside is not None:
        items.append(
            Picture(
                "Beside it: another model",
                f"{found.beside} {note_of(found.beside)}".strip() + ".",
                "Grid of images generated by the other model.",
                images["beside"],
            )
        )
    guided = f", guidance {how.guidance:g} while {how.guided_from:g} ≤ t ≤ {how.guided_to:g}"
    lead = f"Drawn with {how.solver}, {how.steps} steps{guided if names else ''}."
    return Section("What it draws", lead, items)


def of(name: str, domain: str) -> str:
    """What a picture of a domain is called among the pictures."""
    return f"{name}-{domain}" if domain else name


def in_domain(title: str, domain: str) -> str:
    """A title that says its domain, where there are several."""
    return f"{title}: {domain}" if domain else title


def _judges(measured: Mapping[str, Measured]) -> str:
    """Who reads what, as the beginning of a sentence."""
    readers = {domain: _known(found.reader.origin) for domain, found in measured.items()}
    if len(set(readers.values())) == 1:
        return f"The judge {next(iter(readers.values()))} reads"
    each = "; ".join(f"of {domain} {reader}" for domain, reader in readers.items())
    return f"Judges ({each}) read"


def _known(origin: str) -> str:
    """A judge by its name, and what is known of its training."""
    note = note_of(origin)
    return f"{origin} ({note})" if note else origin


def _judged_section(found: Findings) -> Section:
    images = found.images
    items: list[Picture | Table | Text] = []
    if found.faces is not None:
        lead = DETECTOR
    elif not found.generator.class_names:
        lead = NO_DETECTOR
    elif not found.measured:
        lead = (
            "No judge knows these classes, so nothing is claimed about them. Train one with "
            "`marmor train judge --data …` and pass it with --judge."
        )
    else:
        lead = (
            f"{_judges(found.measured)} every image; what is read is compared with what was asked. A judge "
            "errs too, and guidance favours typical images, so this can lie above what it gets on real ones."
        )
    for domain in found.measured:
        items += [
            Picture(
                in_domain("By class", domain),
                "Share read as the class asked for, with 95 % Wilson intervals.",
                "Bar chart of accuracy for each class.",
                images[of("classes", domain)],
            ),
            Picture(
                in_domain("What is taken for what", domain),
                "Rows: asked for. Columns: read.",
                "Confusion matrix of classes asked for and read.",
                images[of("confusion", domain)],
            ),
        ]
    items.append(_neighbours(found))
    return Section("What a judge reads" if found.generator.class_names else "Measured", lead, items)


def _likeness_section(found: Findings) -> Section:
    return Section("Does it copy?", "", [_neighbours(found)])


def _neighbours(found: Findings) -> Picture:
    return neighbours_picture(found.images["neighbours"], found.searched)


def _training_section(found: Findings) -> Section:
    images = found.images
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
    items.append(network_table("The network", found.network))
    return Section("How it was trained", "", items)


def _references(found: Findings) -> tuple[str, ...]:
    settings = found.run.config["settings"]
    told = " ".join((*specs_of(found.run).values(), *settings["data"]["notes"])).lower()
    return references_of(
        settings["asked"]["network"],
        found.generator.drawing.solver,
        classes=bool(found.generator.class_names),
        faces=found.faces is not None,
        mnist_m="mnist-m" in told,
    )


def _facts(found: Findings) -> dict[str, str | int | float]:
    settings = found.run.config["settings"]
    asked = settings["asked"]
    return {
        **facts_of_data(found.run),
        "image shape": " × ".join(map(str, found.generator.image_shape)),
        "network": asked["network"],
        "seed of training": asked["seed"],
        "seed of the images": found.figures["sample.seed"],
        "judge": _who_reads(found),
        **facts_of_machine(found.run),
    }


def _who_reads(found: Findings) -> str:
    if found.scenes is not None and found.scenes.judge is not None:
        return found.scenes.judge.title
    return ", ".join(dict.fromkeys(it.reader.origin for it in found.measured.values())) or "none"


def _commands(found: Findings) -> list[str]:
    run, figures = found.run, found.figures
    drawing = ["--seed", str(figures["sample.seed"])]
    if "sample.per_class" in figures:
        drawing += ["--per-class", str(figures["sample.per_class"])]
    return [
        training_command(run),
        shlex.join(["marmor", "report", str(run.path), *drawing, *found.words]),
        shlex.join(
            ["marmor", "sample", str(run.path), "--out", "samples", *drawing, *_list(found)]
        ),
    ]


def _list(found: Findings) -> list[str]:
    """The first list that a model of scenes was asked for, as `marmor sample` takes it."""
    if found.scenes is None:
        return []
    data = found.run.config["settings"]["asked"]["data"]
    return ["--spec", f"{data}/{next(iter(found.scenes.drawn))}.json"]
