"""What a model is asked for: one record an image."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from marmor.base.conditions import ObjectSet
from marmor.base.errors import UserError, refuse, unknown_name
from marmor.base.files import write_json
from marmor.base.seeds import torch_stream
from marmor.data import CLASS, DOMAIN, SHOWS, places, read_requests
from marmor.recipes.generators import Generator

PER_CLASS = 100
"""Images of each class, where nobody says how many."""
SCENES = 32
"""Sets of objects, where nobody says which or how many; a grid of 8 × 4."""
ASKED = "asked.json"
"""What the pictures beside it were asked to show, as `marmor score --spec` reads it."""
UNNAMED = "image"
"""What images are called that were drawn by a model without classes."""


@dataclass(frozen=True)
class Ask:
    """One image to draw.

    Args:
        group: what is asked for; images of one group are drawn together, and apart from all others.
        number: which image of its group it is, from 1.
        said: what it should show, by condition, as the labels of one image: () int64 or (K,) bool.
        stream: what its noise follows from, besides the seed.
        file: where it is written, below the folder that a person names.
    """

    group: str
    number: int
    said: Mapping[str, Tensor]
    stream: tuple[str | int, ...]
    file: str


def ask_classes(
    generator: Generator,
    per_class: int,
    classes: Sequence[str] | None = None,
    others: Mapping[str, Sequence[str]] | None = None,
) -> list[Ask]:
    """``per_class`` images of each class, as ``<class>_<nnn>.png``; of all classes where none are named.

    A model that knows more than classes draws them once for each value of those conditions, or of those
    that ``others`` names by condition, into a folder for each. The noise follows from class and number alone:
    image k of a class begins with the same noise whatever else is said.

    Raises UserError, with the nearest name, for what the model does not know, and for no images.
    """
    if per_class < 1:
        raise UserError(f"at least 1 image of each class can be drawn, not {per_class}.")
    names = names_of(generator) if classes is None else classes
    labels = {name: said_class(generator, name) for name in names}
    columns = {column: all_of for column, all_of in generator.vocabulary.items() if column != CLASS}
    values = [(others or {}).get(column) or all_of for column, all_of in columns.items()]
    asks: list[Ask] = []
    for chosen in itertools.product(*values):
        also = {
            column: torch.tensor(place_of(column, name, all_of))
            for (column, all_of), name in zip(columns.items(), chosen, strict=True)
        }
        for name in names:
            group = "/".join((*chosen, name))
            asks += [
                Ask(
                    group,
                    number + 1,
                    labels[name] | also,
                    ("image", name, number),
                    f"{group}_{number + 1:03d}.png",
                )
                for number in range(per_class)
            ]
    return asks


def ask_in_all(
    generator: Generator,
    count: int,
    classes: Sequence[str] | None = None,
    others: Mapping[str, Sequence[str]] | None = None,
) -> list[Ask]:
    """``count`` images in all, of each group as many as of any other, or one more; else ``ask_classes``."""
    if count < 1:
        raise UserError(f"at least 1 image can be drawn, not {count}.")
    groups = len(ask_classes(generator, 1, classes, others))
    asks = ask_classes(generator, -(-count // groups), classes, others)
    chosen = {ask.file for ask in sorted(asks, key=lambda ask: ask.number)[:count]}
    return [ask for ask in asks if ask.file in chosen]


def ask_scenes(generator: Generator, requests: Sequence[Sequence[int]]) -> list[Ask]:
    """One picture for each request, a list of places among the objects: ``0.png``, ``1.png`` …

    Raises UserError where a request is for more objects than a training picture shows.
    """
    return [
        _ask_scene(generator, number, request, f"picture {number}")
        for number, request in enumerate(requests)
    ]


def ask_any_scenes(generator: Generator, count: int = SCENES) -> list[Ask]:
    """``count`` pictures of sets drawn at random; the k-th set is the same for every seed and count.

    Raises UserError for no pictures.
    """
    if count < 1:
        raise UserError(f"at least 1 image can be drawn, not {count}.")
    kind = generator.kinds[SHOWS]
    assert isinstance(kind, ObjectSet)
    stream = torch_stream(0, "sets")
    requests: list[list[int]] = []
    for _ in range(count):
        size = int(torch.randint(1, (kind.most or 1) + 1, (), generator=stream))
        requests.append(torch.randperm(kind.size, generator=stream)[:size].tolist())
    return ask_scenes(generator, requests)


def write_asked(generator: Generator, asks: Sequence[Ask], out: Path) -> Path:
    """Keeps which objects pictures in ``out`` were asked to show, in their order."""
    names = generator.vocabulary[SHOWS]
    shown = [[names[place] for place in ask.said[SHOWS].nonzero().flatten()] for ask in asks]
    write_json(out / ASKED, shown)
    return out / ASKED


def _ask_scene(generator: Generator, number: int, request: Sequence[int], where: str) -> Ask:
    kind = generator.kinds[SHOWS]
    assert isinstance(kind, ObjectSet)
    check_most(request, kind.most, where, generator.origin)
    shown = torch.zeros(kind.size, dtype=torch.bool)
    shown[list(request)] = True
    return Ask("scenes", number + 1, {SHOWS: shown}, ("scene", number), f"{number}.png")


def check_most(request: Sequence[int], most: int | None, where: str, trained: str) -> None:
    """UserError for more objects than the pictures show that a model, ``trained``, learned from."""
    if most is not None and len(request) > most:
        raise UserError(
            f"{where} asks for {len(request)} objects; {trained} was trained on pictures of {most} at most, "
            "and has never learned to draw more."
        )


def asked(
    generator: Generator,
    per_class: int | None = None,
    classes: str = "",
    domain: str = "",
    spec: Path | None = None,
    count: int | None = None,
) -> list[Ask]:
    """What a person asks for with --classes and --domain, comma-separated names, or with --spec, a list.

    ``per_class`` images of each class, PER_CLASS where nothing is said, or ``count`` in all; one of each
    entry of a list, or, of a model of scenes, sets drawn at random where no list is named. Raises UserError
    where the model knows no such thing, and for wishes that contradict.
    """
    if SHOWS in generator.vocabulary:
        said = {"per_class": per_class, "classes": classes, "domain": domain}
        refuse(f"{generator.origin} draws sets of objects, which --spec lists", **said)
        if spec is None:
            return ask_any_scenes(generator, SCENES if count is None else count)
        refuse("--spec says how many pictures there are", count=count)
        return ask_scenes(generator, read_requests(spec, generator.vocabulary[SHOWS]))
    if spec is not None:
        raise UserError(f"{generator.origin} draws no sets of objects; leave --spec out.")
    if domain and DOMAIN not in generator.vocabulary:
        raise UserError(f"{generator.origin} draws one domain only; leave --domain out.")
    others = {DOMAIN: _listed(domain)} if domain else {}
    named = _listed(classes) if classes else None
    if count is not None:
        refuse("--count says how many images there are", per_class=per_class)
        return ask_in_all(generator, count, named, others)
    return ask_classes(generator, PER_CLASS if per_class is None else per_class, named, others)


def ask_one(generator: Generator, class_name: str, domain: str, objects: str) -> Ask:
    """One image of a class and a domain, the first of each where none is named, or of named objects.

    Raises UserError where the model knows no such thing, and for several classes or domains.
    """
    if SHOWS in generator.vocabulary:
        refuse(f"{generator.origin} draws sets of objects", **{"class": class_name}, domain=domain)
        return ask_objects(generator, objects)
    refuse(f"{generator.origin} draws no sets of objects", objects=objects)
    for flag, text in (("class", class_name), ("domain", domain)):
        if "," in text:
            raise UserError(f"--{flag} {text!r} names several, and one image is shown; name one.")
    return asked(generator, 1, class_name, domain)[0]


def ask_objects(generator: Generator, objects: str) -> Ask:
    """One picture of comma-separated objects; UserError where none is named or one is unknown."""
    if not objects:
        raise UserError(
            f"{generator.origin} draws sets of objects; name them with --objects, such as "
            '"red cube, blue sphere".'
        )
    names = [name.strip() for name in objects.split(",")]
    request = places(names, generator.vocabulary[SHOWS], "--objects")
    return _ask_scene(generator, 0, request, "--objects")


def names_of(generator: Generator) -> tuple[str, ...]:
    """The classes that can be asked for; one name for all images of a model without classes."""
    return generator.class_names or (UNNAMED,)


def said_class(generator: Generator, class_name: str) -> dict[str, Tensor]:
    """A class as labels say it; nothing for a model without classes, which has one name only.

    Raises UserError with the nearest name where the model has no such class.
    """
    place = place_of(CLASS, class_name, names_of(generator))
    return {CLASS: torch.tensor(place)} if generator.class_names else {}


def place_of(column: str, name: str, names: Sequence[str]) -> int:
    """The index of a name; UserError with the nearest one where there is none."""
    if name not in names:
        raise unknown_name(column, name, names)
    return names.index(name)


def _listed(text: str) -> list[str]:
    """Comma-separated names, each once."""
    return list(dict.fromkeys(name.strip() for name in text.split(",")))
