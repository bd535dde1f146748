"""How zero-shot answers come about, in plain words and the numbers of one picture: explain.html."""

import math

from PIL import Image

from marmor.figures import Picture, Report, Section, Table, Text, similarity
from marmor.language import sentences_for, spoken
from marmor.recipes.naming import file_names
from marmor.recipes.zero_shot import ZeroShot

EXAMPLES = 3
CLOSE = 5
"""Pairs of classes whose sentences are told to be alike."""


def matrix(found: ZeroShot) -> Image.Image:
    """Cosines of the cases shown with the classes that they show or were read as."""
    shown = _shown(found)
    rows = list(dict.fromkeys(k for index in shown for k in _classes(found, index)))
    return similarity(
        found.cosines[shown][:, rows].T,
        found.images.images[shown],
        [found.names.names[k] for k in rows],
        "Cosines of classes and pictures",
    )


def page(found: ZeroShot, cases: Image.Image, cosines: Image.Image) -> Report:
    """The page, around the first case."""
    first = _shown(found)[0]
    return Report(
        title="How the answers came about",
        lead="Nothing was trained on these pictures. One network turns pictures into directions, another "
        "sentences; the answer is the class whose sentences point the way of the picture.",
        sections=[
            Section("1 · From names to sentences", items=[Text("Sentences", _sentences(found))]),
            Section("2 · From pictures to directions", items=[Text("Pictures", _pictures(found))]),
            Section(
                "3 · From directions to an answer",
                items=[Text("One picture", _answer(found, first)), _sums(found, first)],
            ),
            Section(
                "4 · The cases shown",
                items=[
                    Text("In words", [_told(found, index) for index in _shown(found)]),
                    Picture(
                        "Cosines",
                        "Each column is a picture; its answer is the darkest cell of the whole column, over "
                        "all classes, of which those are left out here that no case shows or is read as.",
                        "A table of cosines with the pictures above it.",
                        cosines,
                    ),
                    Picture("Probabilities", "", "Pictures beside bars of classes.", cases),
                ],
            ),
            Section("5 · Which classes are hard to tell apart", items=[_alike(found)]),
        ],
    )


def _shown(found: ZeroShot) -> list[int]:
    return [index for which in found.cases().values() for index in which]


def _classes(found: ZeroShot, index: int) -> list[int]:
    """The class read, and the one shown where that is known."""
    truth = [] if found.scores is None else [int(found.scores.truth[index])]
    return [*truth, int(found.read[index])]


def _sentences(found: ZeroShot) -> list[str]:
    count, name = len(found.templates), found.names.names[int(found.read[_shown(found)[0]])]
    some = ", ".join(f"“{one}”" for one in sentences_for(found.templates[:EXAMPLES], [name]))
    return [
        f"Each class becomes {count} sentence{'s' if count > 1 else ''}. Of {spoken(name)!r} the first are: "
        f"{some}.",
        f"The text network ({found.facts.kind}) turns each sentence into {found.directions.shape[1]} "
        "numbers, which are divided by their length, so that only the direction counts.",
        "The directions of all sentences of a class are averaged and made as long as 1 again: the class's "
        "own direction. Averaging takes away what is said of the photo and leaves what is said of the thing.",
    ]


def _pictures(found: ZeroShot) -> list[str]:
    sight = found.facts.sight
    height, width = found.images.size
    told = f"Pictures are {width}×{height}; the network takes {sight.side}×{sight.side}"
    if (height, width) != (sight.side, sight.side):
        kept = "the largest centred square" if sight.crop else "the whole picture, squashed,"
        told += f", so {kept} is resized ({'bicubic' if sight.bicubic else 'bilinear'})"
    paragraphs = [
        f"{told}.",
        "The picture network gives as many numbers as the text network, again made as long as 1.",
    ]
    if min(height, width) < sight.side:
        small = "Enlarging adds no detail: small pictures are read worse than photographs would be."
        paragraphs.insert(1, small)
    return paragraphs


def _answer(found: ZeroShot, index: int) -> list[str]:
    name = file_names(found.images)[index]
    return [
        f"The cosine of two directions is 1 where they are the same and 0 at a right angle. Those of {name} "
        f"and all {len(found.names)} classes lie between {found.cosines[index].min():.3f} and "
        f"{found.cosines[index].max():.3f}: close together, as is usual.",
        f"The model learned to multiply them by {found.facts.scale:.1f} before they are compared. A class "
        f"with a cosine 0.01 higher becomes {math.exp(found.facts.scale / 100):.2f} times as likely. "
        "The probabilities below are each class's share of the whole (softmax).",
    ]


def _sums(found: ZeroShot, index: int) -> Table:
    rows = [
        [
            found.names.names[k],
            f"{found.cosines[index, k]:.4f}",
            f"{found.facts.scale * found.cosines[index, k]:.2f}",
            f"{100 * value:.1f} %",
        ]
        for k, value in found.few(index)
    ]
    return Table(
        f"The likeliest classes of {file_names(found.images)[index]}",
        ("class", "cosine", "scaled", "probability"),
        rows,
    )


def _told(found: ZeroShot, index: int) -> str:
    name, read = file_names(found.images)[index], int(found.read[index])
    words = found.names.names
    sure = f"{100 * found.probabilities[index, read]:.0f} % sure"
    if found.scores is None:
        return f"{name}: read as {words[read]}, {sure}."
    truth, place = int(found.scores.truth[index]), int(found.scores.ranks[index])
    if place == 1:
        return f"{name} shows {words[truth]} and was read so, {sure}."
    gap = found.cosines[index, read] - found.cosines[index, truth]
    return (
        f"{name} shows {words[truth]} and was read as {words[read]}, {sure}; {words[truth]} came in "
        f"place {place} of {len(words)}, its cosine {gap:.3f} lower."
    )


def _alike(found: ZeroShot) -> Text:
    """The pairs of classes whose directions are nearest: before any picture is seen, they are alike."""
    values = (found.directions @ found.directions.T).triu(diagonal=1)
    values[values == 0] = -1
    best = values.flatten().argsort(descending=True)[:CLOSE].tolist()
    pairs = [divmod(place, len(found.names)) for place in best]
    return Text(
        "Sentences alike",
        [
            "Before any picture is seen, these classes already point nearly the same way: "
            + ", ".join(
                f"{found.names.names[a]} and {found.names.names[b]} ({values[a, b]:.3f})"
                for a, b in pairs
                if b > a
            )
            + "."
        ],
    )
