"""Training of one model of digits from several places (S2): `marmor train digits-two-domains`."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from marmor.base.errors import UserError
from marmor.data import CLASS, DOMAIN, ImageSet, join_domains
from marmor.recipes.asking import place_of
from marmor.recipes.diffusing import check_settings
from marmor.recipes.judged import JudgedSettings, resume_judged, train_judged
from marmor.recipes.training_images import load_images, named_spec
from marmor.training import RunFolder

RECIPE = "digits-two-domains"


@dataclass(frozen=True)
class DomainsSettings(JudgedSettings):
    """What `marmor train digits-two-domains` can be told.

    Args:
        data: two sets or more with the same classes, each an embedded name or a path; NAME=PATH names
            the domain, which is called like its file otherwise.
        hold_out: combinations to train without, such as house-numbers/7, to see whether the model draws
            what it has never seen together.
        size: side to crop and resize images to; the smallest of their own when left out.
    """

    data: tuple[str, ...] = ("mnist-m", "house-numbers")
    run: Path = Path("runs/two-domains")
    hold_out: tuple[str, ...] = ()


def train(settings: DomainsSettings) -> RunFolder:
    """Trains a model into a new run folder; Ctrl-C saves, `marmor resume` goes on."""
    check_settings(settings)
    return train_judged(RECIPE, settings, load_domains(settings))


def resume(run: RunFolder) -> None:
    """Goes on with an interrupted run to the end of its budget."""
    settings = settings_of(run)
    resume_judged(run, settings, load_domains(settings))


def settings_of(run: RunFolder) -> DomainsSettings:
    """What a run was told."""
    asked = run.config["settings"]["asked"]
    lists = {name: tuple(asked[name]) for name in ("data", "hold_out")}
    return DomainsSettings(**{**asked, **lists, "run": run.path})


def load_domains(settings: DomainsSettings) -> ImageSet:
    """All domains at one size as one set, without the combinations held out.

    Raises UserError for one domain only, two of one name, names that no folder can have, and what cannot be
    held out.
    """
    named = [named_spec(spec) for spec in settings.data]
    names = [name for name, _ in named]
    if len(set(names)) < max(2, len(names)):
        raise UserError(
            f"--data names {', '.join(names) or 'nothing'}: two sets or more are needed, under different "
            "names; NAME=PATH names one."
        )
    for name in names:
        _check_name(name)
    sets = {name: load_images(spec, settings.size) for name, spec in named}
    side = min(min(images.size) for images in sets.values())
    sets = {name: images.resized(side) for name, images in sets.items()}
    return _without(join_domains(sets), settings.hold_out)


def _without(data: ImageSet, combinations: tuple[str, ...]) -> ImageSet:
    """All images but those of a domain's class, ``DOMAIN/CLASS``."""
    kept = torch.ones(len(data), dtype=torch.bool)
    notes = list(data.notes)
    for text in combinations:
        domain, slash, name = text.partition("/")
        if not slash:
            raise UserError(f"--hold-out {text!r} should be DOMAIN/CLASS, such as house-numbers/7.")
        domains, classes = data.vocabulary[DOMAIN], data.vocabulary[CLASS]
        held = (data.labels[DOMAIN] == place_of(DOMAIN, domain, domains)) & (
            data.labels[CLASS] == place_of(CLASS, name, classes)
        )
        notes.append(f"{int(held.sum()):,} images of {text} held out.")
        kept &= ~held
    _check_left(data, kept)
    return replace(data.take(kept.nonzero().flatten()), notes=tuple(notes))


def _check_left(data: ImageSet, kept: Tensor) -> None:
    """UserError where no image is kept of a domain or of a class, of which nothing could be learned."""
    for column in (DOMAIN, CLASS):
        names = data.vocabulary[column]
        counts = data.labels[column][kept].bincount(minlength=len(names)).tolist()
        if 0 in counts:
            raise UserError(
                f"--hold-out leaves no image of the {column} {names[counts.index(0)]!r} to train on; "
                "hold out less of it."
            )


def _check_name(name: str) -> None:
    """UserError for the name of a domain that is no name of a folder, or that no list can hold."""
    if name in ("", ".", "..") or any(sign in name for sign in ",/\\"):
        raise UserError(
            f"--data names a domain {name!r}, but its images lie in a folder of that name and commas part "
            "names; give it another one with NAME=PATH."
        )
