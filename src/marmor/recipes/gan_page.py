"""A GAN told as a page."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from marmor.figures import Picture, Report, Section, Table, Text
from marmor.recipes.face_shares import FaceShares
from marmor.recipes.latents import LatentGenerator
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
from marmor.recipes.references import references_of_gan
from marmor.training import GAVE_UP, RunFolder


@dataclass(frozen=True)
class GanFindings:
    """Everything that a page tells of a run.

    Args:
        run: its folder.
        generator: its averaged generator.
        figures: summary.json.
        images: pictures by name.
        networks: the layers of both networks as tables of text, by title.
        searched: training images among which the nearest were looked for.
        retreats: each time the guard sent the run back.
        end: the last line of the log where the run gave up; else None.
        faces: how often a face is found; None where nobody looked.
        beside: another model whose first images are shown too.
        words: what else a person asked the report for.
    """

    run: RunFolder
    generator: LatentGenerator
    figures: dict[str, Any]
    images: Mapping[str, Image.Image]
    networks: Mapping[str, str]
    searched: int
    retreats: Sequence[Mapping[str, Any]]
    end: Mapping[str, Any] | None = None
    faces: FaceShares | None = None
    beside: str | None = None
    words: tuple[str, ...] = ()


def page(found: GanFindings) -> Report:
    """The page of a run."""
    settings = found.run.config["settings"]
    asked = settings["asked"]
    classes = len(found.generator.class_names)
    return Report(
        title=f"{found.run.path.name}: images out of a latent vector",
        lead=(
            f"A GAN ({asked['objective']}) trained from nothing for "
            f"{found.figures.get('train.minutes', 0.0):.1f} minutes on {settings['data']['count']:,} images "
            f"of {asked['data']}{f' in {classes} classes' if classes else ''}. Every image on this page that "
            "is not called a training image was drawn by the model."
        ),
        headline=_headline(found),
        sections=[
            _drawn_section(found),
            _measured_section(found),
            _training_section(found),
            _guard_section(found),
            Section(
                "The networks",
                "",
                [network_table(title.capitalize(), text) for title, text in found.networks.items()],
            ),
        ],
        facts={
            **facts_of_data(found.run),
            "image shape": " × ".join(map(str, found.generator.image_shape)),
            "objective": asked["objective"],
            "seed of training": asked["seed"],
            "seed of the images": found.figures["sample.seed"],
            **facts_of_machine(found.run),
        },
        commands=_commands(found),
        files=files_of(found.run, [("milestones", "images from the same latents, over training")]),
        references=references_of_gan(asked["objective"], faces=found.faces is not None),
    )


def _headline(found: GanFindings) -> list[tuple[str, str, str]]:
    figures = found.figures
    cards = [faces_card(found.faces)] if found.faces is not None else []
    if "diversity" in figures:
        share = f"{100 * figures['diversity']:.0f} %"
        cards.append(("diversity", share, "mean distance of its images, of that of real ones"))
    speed = figures["sample.images"] / figures["sample.seconds"]
    cards.append(("drawn a second", f"{speed:.0f}", "one network call each"))
    return cards


def _drawn_section(found: GanFindings) -> Section:
    items = [
        Picture(
            "The first 32",
            "Each from a latent vector of its own, none left out.",
            "Grid of 32 generated images.",
            found.images["first"],
        )
    ]
    if found.beside is not None:
        items.append(
            Picture(
                "Side by side",
                f"The first 32 images of this run and of {found.beside}, none left out.",
                "Two grids of 32 generated images.",
                found.images["beside"],
            )
        )
    items.append(
        Picture(
            "From one latent vector to another",
            "Along the great circle between two of them; a generator that learned its images by heart "
            "would jump.",
            "Strip of images that change step by step.",
            found.images["interpolation"],
        )
    )
    return Section("What it draws", "", items)


def _measured_section(found: GanFindings) -> Section:
    lead = DETECTOR if found.faces is not None else NO_DETECTOR
    return Section(
        "Measured", lead, [neighbours_picture(found.images["neighbours"], found.searched)]
    )


def _training_section(found: GanFindings) -> Section:
    told = {
        "losses": (
            "Losses",
            "Means over a few steps. They tell whether the game goes on, not how good the images are.",
            "Curves of the losses of critic and generator.",
        ),
        "accuracy": (
            "What the critic gets right",
            "0.5 is guessing, 1 is knowing everything. Augmentation, where there is some, rises while the "
            "critic knows too much.",
            "Curve of the critic's accuracy.",
        ),
        "diversity": (
            "Diversity",
            "Mean distance in pixels between images of fixed latents, over that between real images.",
            "Curve of diversity over milestones.",
        ),
        "over-time": (
            "The same latents over training",
            "A row for each milestone, a column for each latent vector.",
            "Rows of generated images that become better.",
        ),
    }
    items: list[Picture | Table | Text] = [
        Picture(*words, found.images[name]) for name, words in told.items() if name in found.images
    ]
    return Section("How it was trained", "", items)


def _guard_section(found: GanFindings) -> Section:
    told = [
        f"After step {retreat['record']['step']:,} {retreat['why']}; the run went back to step "
        f"{retreat['back_to']:,} and on with smaller steps."
        for retreat in found.retreats
    ]
    if found.end is not None:
        told.append(f"After step {found.end['step']:,} {found.end[GAVE_UP]}; the run gave up.")
    lead = (
        "At every milestone marmor looks for losses that explode, a critic that has won and a generator that "
        "has collapsed."
    )
    return Section("The guard", lead, [Text("What it did", told or ["It saw nothing wrong."])])


def _commands(found: GanFindings) -> list[str]:
    path, figures = str(found.run.path), found.figures
    seed = ["--seed", str(figures["sample.seed"])]
    each = ["--per-class", str(figures["sample.per_class"])]
    return [
        training_command(found.run),
        shlex.join(["marmor", "report", path, *seed, *each, *found.words]),
        shlex.join(["marmor", "sample", path, "--out", "samples", *seed, *each]),
    ]
