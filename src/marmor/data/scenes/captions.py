"""Scenes with sentences that say what they show, and beside them what is kept out."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from marmor.base.errors import UserError
from marmor.base.seeds import derive, torch_stream
from marmor.data.scenes.calls import others, ways
from marmor.data.scenes.kept_out import INCOMPLETE, NEW, PAINTED, SEEN, UNSEEN
from marmor.data.scenes.layout import MOST, SceneLists, save, write, write_scenes
from marmor.data.scenes.making import DRAWABLE, EVERY_OBJECT, OBJECTS, make_scenes

FILE = "captions.json"
"""File name of every picture → the sentences that say what it shows."""

WORDINGS = (
    "{}",
    "a photo of {}",
    "a picture of {}",
    "a bright photo of {}",
    "a dark photo of {}",
    "a photo of {} up close",
    "a rendering of {}",
    "a scene with {}",
    "{} on a table",
    "NUMBER, {}",
)
"""NUMBER is "one object", "two objects" and so on. Half of the sentences end with a full stop."""
ARTICLES = ("a", "a", "a", "a", "a", "the", "one", "a small")
"""One is drawn for each caption; most often the plain one."""
NUMBERS = ("one object", "two objects", "three objects")
PAIRS = ("{} and {}", "{} next to {}", "{} beside {}")
TRIPLES = ("{}, {} and {}", "{} and {} and {}", "{} next to {} and {}")
CAPTIONS = 8
"""Sentences drawn for a picture."""


class SceneWishes(NamedTuple):
    """What rendered scenes show and what is said of them.

    Args:
        partly: of the objects in sentences, how many are called by their shape or their colour alone.
        nameless: of the objects, how many are in colours without a name and called by their shape.
        alone: of the scenes, how many show one object; the others one to three.
        contrasted: whether pictures are to refuse sentences: with contraries, and nothing that would teach
            which shapes a colour has.
    """

    partly: float = 0.0
    nameless: float = 0.0
    alone: float = 0.0
    contrasted: bool = False


USUAL_SCENES = SceneWishes()


class Caption(NamedTuple):
    """A sentence with gaps, and what it calls the objects there: names, shapes or "red object"."""

    frame: str
    called: tuple[str, ...]

    @property
    def sentence(self) -> str:
        return self.frame.format(*self.called)

    @property
    def calls(self) -> tuple[str, ...]:
        """What it says, whatever its order."""
        return tuple(sorted(self.called))


def caption(
    names: list[str], stream: torch.Generator, partly: float = 0.0, hushed: bool = False
) -> Caption:
    """A sentence that names one to three objects, in any order and one of several wordings.

    ``partly``: of the objects, how many are called by their shape or their colour alone; ``hushed``: whether
    those in INCOMPLETE colours are all called by their colour.
    """

    def drawn(choices: tuple[str, ...]) -> str:
        return choices[int(torch.randint(len(choices), (1,), generator=stream))]

    article, wording = drawn(ARTICLES), drawn(WORDINGS)
    order = torch.randperm(len(names), generator=stream).tolist()
    called = tuple(_called(names[k], stream, partly, hushed) for k in order)
    joined = ("{}",) if len(names) == 1 else PAIRS if len(names) == 2 else TRIPLES
    listed = drawn(joined).format(*[f"{article} {{}}"] * len(names))
    frame = wording.replace("NUMBER", NUMBERS[len(names) - 1]).format(listed)
    return Caption(frame + drawn(("", ".")), called)


def contrary(truth: Caption, stream: torch.Generator) -> Caption:
    """The same sentence with one shape or one colour changed: a rule-based negative (Doveh et al. 2023).

    Shapes change as often as colours do, and nothing comes to be called what is not in SEEN. What it says may
    be true all the same, where two objects share a shape or a colour.
    """

    def drawn(count: int) -> int:
        return int(torch.randint(count, (1,), generator=stream))

    place = drawn(len(truth.called))
    kinds = others(truth.called[place])
    choices = kinds[drawn(len(kinds))]
    called = list(truth.called)
    called[place] = choices[drawn(len(choices))]
    return Caption(truth.frame, tuple(called))


def _called(name: str, stream: torch.Generator, partly: float, hushed: bool) -> str:
    whole, *parts = ways(name)
    if not parts:
        return whole
    share = float(torch.rand((), generator=stream)) if partly else 1.0
    shape, colour = parts
    if hushed and name.split()[0] in INCOMPLETE:
        return colour
    if share < partly / 2:
        return shape
    return colour if share < partly else whole


def draw_captioned(
    count: int, seed: int, wishes: SceneWishes = USUAL_SCENES
) -> tuple[SceneLists, dict[str, list[Caption]]]:
    """Scenes of one to three objects of SEEN, each number as likely, and CAPTIONS sentences each.

    Scene k is drawn from (seed, k): it does not depend on how many there are. The objects listed are all that
    can be drawn, DRAWABLE where some have no name. Raises UserError for a count below 1.
    """
    if count < 1:
        raise UserError(f"{count} scenes cannot be made; ask for 1 or more.")
    pictures: dict[str, list[int]] = {}
    captions: dict[str, list[Caption]] = {}
    for number in range(count):
        stream = torch_stream(seed, "captioned scenes", number)
        size = int(torch.randint(1, MOST + 1, (1,), generator=stream))
        if wishes.alone and float(torch.rand((), generator=stream)) < wishes.alone:
            size = 1
        chosen = [SEEN[k] for k in torch.randperm(len(SEEN), generator=stream)[:size].tolist()]
        if wishes.nameless:
            chosen = [_repainted(each, stream, wishes.nameless) for each in chosen]
        name = f"{number:06d}.png"
        pictures[name] = [DRAWABLE.index(each) for each in chosen]
        captions[name] = [
            caption(chosen, stream, wishes.partly, wishes.contrasted) for _ in range(CAPTIONS)
        ]
    return SceneLists(DRAWABLE if wishes.nameless else EVERY_OBJECT, pictures, {}), captions


def _repainted(name: str, stream: torch.Generator, nameless: float) -> str:
    """An object, or with probability ``nameless`` one of PAINTED."""
    if float(torch.rand((), generator=stream)) >= nameless:
        return name
    return PAINTED[int(torch.randint(len(PAINTED), (1,), generator=stream))]


def draw_contraries(
    captions: Mapping[str, Sequence[Caption]], seed: int
) -> dict[str, list[Caption]]:
    """Beside each sentence of ``draw_captioned`` its ``contrary``, drawn from (seed, number of the scene)."""
    found: dict[str, list[Caption]] = {}
    for number, (name, own) in enumerate(captions.items()):
        stream = torch_stream(seed, "contraries", number)
        found[name] = [contrary(each, stream) for each in own]
    return found


def write_captioned(
    count: int, each: int, out: Path, seed: int, side: int, watch: Callable[[float], None]
) -> None:
    """A new folder in i-CLEVR's layout with captions.json, and beside it what training never sees.

    ``unseen`` and ``new`` hold a folder for each object of UNSEEN and NEW with ``each`` pictures of it alone;
    id2label.json names the objects of i-CLEVR. Raises UserError as
    ``draw_captioned`` and ``write_scenes`` do.
    """
    if each < 1:
        raise UserError(f"{each} pictures of an object cannot be made; ask for 1 or more.")
    lists, captions = draw_captioned(count, seed)
    sentences = {name: [each.sentence for each in own] for name, own in captions.items()}

    def beside(folder: Path) -> None:
        write(folder / FILE, sentences)
        write(folder / "id2label.json", {str(k): name for k, name in enumerate(OBJECTS)})
        for part, objects in (("unseen", UNSEEN), ("new", NEW)):
            scenes = [[EVERY_OBJECT.index(name)] for name in objects for _ in range(each)]
            pictures = make_scenes(scenes, derive(seed, part), side).unflatten(0, (-1, each))
            for name, shown in zip(objects, pictures, strict=True):
                place = folder / part / name.replace(" ", "_")
                place.mkdir(parents=True)
                for number, picture in enumerate(shown):
                    save(picture, place / f"{place.name}_{number:03d}.png")

    write_scenes(lists, out, seed, side, watch, beside)
