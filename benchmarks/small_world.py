"""Concepts learned and drawn in the small world, judged by those who know it: one resumable command.

    python benchmarks/small_world.py
    python benchmarks/small_world.py --pairs 'red cone, blue ring' --judge runs/all \\
        --out runs/new-shapes

What ships draws and judges where nothing else is named; cones and rings need a judge of all 40 objects
(docs/language.md). A concept is a kind of object that the pipeline was never trained on, known by five
rendered photos. Every method learns the concepts of a pair; prompts of one and of both are drawn and judged.
Three starts of textual inversion: a word that is near, one that says nothing, and random vectors. Beside
them what the pipeline draws when it is asked in plain words. Regional prompts see what their photos have in
common, the empty table, around their places in the first steps. Everything is done by marmor's own commands,
which stand in commands.json; what is finished is kept, and the same command goes on. Writes table.txt,
table.csv, results.json, report.html, the folder concepts, which tells them apart, and the reports of `marmor
personalize score`.
"""

import csv
import math
import re
import shlex
import sys
from collections.abc import Iterable, Sequence, Set
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
import tyro
from PIL import Image

from goals import Goal, held_against
from kept import Kept
from marmor.base.errors import unknown_name
from marmor.base.files import write_json
from marmor.data import read
from marmor.data.scenes import NEW, OBJECTS, UNSEEN
from marmor.figures import Picture, Report, Section, Table, intervals, stack, write
from marmor.metrics import Mean, Share, mean_within, share, share_difference
from marmor.recipes.object_judging import load_object_judge
from marmor.recipes.scoring import percent, with_interval
from marmor.recipes.tables import show_table
from marmor.recipes.text_image import ModelWishes, TextImage

PHOTO_SEED = 71_000
"""Far from the seeds of training sets."""
NEAR = {"cone": "cylinder", "ring": "cylinder"}
"""The known shape that is nearest to one that the pipeline does not know."""
NOTHING = "object"
"""A start that says nothing of the thing."""
ALONE = ("a photo of a {}", "a {} on a table")
TOGETHER = "a {} next to a {}"
ASKED = "nothing learned, asked in words"
"""The pipeline itself, which knows the words of new combinations and can only spell those of new shapes."""
RANDOM = "random"
"""A start at seeded vectors, which are no word's."""
INVERSION, OTHER_START, RANDOM_START = (
    "textual inversion",
    f"textual inversion from '{NOTHING}'",
    "textual inversion from random vectors",
)
SINGLE, JOINT, MERGED = (
    "custom diffusion alone",
    "custom diffusion joint",
    "custom diffusion merged",
)
REGIONAL = {
    INVERSION: "textual inversion, regional",
    JOINT: "joint, regional",
    MERGED: "merged, regional",
}
ALONE_TOO = (ASKED, INVERSION, OTHER_START, RANDOM_START, SINGLE, JOINT, MERGED)
"""Methods that are asked for one concept as well as for two."""
METHODS = (*ALONE_TOO, *REGIONAL.values())
COLUMNS = (
    "method",
    "one: found",
    "one: image",
    "one: text",
    "two: both present",
    "two: leak",
    "two: swapped",
    "two: text",
    "two: image",
    "minutes",
)
CAPTION = (
    "Intervals of 95 % in brackets, over pictures. Text scores are of concepts whose words the CLIP "
    "has read."
)
PANELS = {
    ("one", "present"): "One concept: found by the judge",
    ("two", "present"): "Two concepts: both found by the judge",
    ("two", "swapped"): "Two concepts: a swapped object found by the judge",
    ("two", "leak"): "Two concepts: leak by the CLIP",
}
Known = dict[str, dict[str, dict[str, Mean | Share]]]
"""Figures by method, kind of prompt and name."""
DIFFERENCES = ((JOINT, MERGED, "one"), *((a, b, "two") for a, b in REGIONAL.items()))


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Args:
        clip: judge of images and texts: the one that ships, a run of `marmor train tiny-clip`, or a folder.
        pipeline: a run of `marmor train tiny-text-to-image`, or a pipeline folder.
        judge: a scene judge that knows the objects of the pairs.
        pairs: of concepts, such as 'red cone, blue ring'.
        photos: of each concept.
        minutes: of each training, for each concept that learns in it.
        steps: a budget in steps instead, for a trial.
        batch: photos a step.
        vectors: of each word.
        rate: of Custom Diffusion's weights.
        prior_count: pictures that Custom Diffusion draws of each concept's kind.
        count: pictures of each prompt, of which a concept has two, and a pair one for each order; 5 at least.
        calls: of the solver, for each picture.
        guidance: scale of the pictures.
        seed: of training and drawing.
        out: folder for everything; what is finished in it is kept.
    """

    clip: Path = Path("pretrained:tiny-clip")
    pipeline: Path = Path("pretrained:tiny-text-to-image")
    judge: str = "pretrained:scene-judge"
    pairs: tuple[str, ...] = ("purple sphere, cyan cube",)
    photos: int = 5
    minutes: float = 3.0
    steps: int | None = None
    batch: int = 16
    vectors: int = 2
    rate: float = 3e-4
    prior_count: int = 100
    count: int = 25
    calls: int = 15
    guidance: float = 3.0
    seed: int = 0
    out: Path = Path("runs/small-world")


@dataclass(frozen=True)
class Concept:
    """A kind of object and the word that is learned for it."""

    name: str
    word: str

    @property
    def file(self) -> str:
        return self.name.replace(" ", "_")

    @property
    def photos(self) -> str:
        """Where `marmor data make captioned-scenes` puts its pictures."""
        return f"{'new' if self.name in NEW else 'unseen'}/{self.file}"

    @property
    def near(self) -> str:
        shape = self.name.split()[1]
        return NEAR.get(shape, shape)

    @property
    def said(self) -> str:
        """What a CLIP that never read the word for a new shape can be told."""
        return self.name if self.is_told else f"{self.name.split()[0]} {NOTHING}"

    @property
    def is_told(self) -> bool:
        """Whether the CLIP has read its words, so that a text score means something."""
        return self.name in OBJECTS


class Drawn(NamedTuple):
    """Pictures of a method by one list of prompts."""

    method: str
    folder: Path


class Exam(NamedTuple):
    """Folders drawn by one list of prompts, where scores go, and the concepts whose words a CLIP knows."""

    asked: Path
    drawn: Sequence[Drawn]
    scores: Path
    told: Set[str]


class Seen(NamedTuple):
    """What was found in one picture; ``text`` and ``leak`` are NaN and ``swapped`` None where not known."""

    prompt: str
    name: str
    image: float
    text: float
    leak: float
    present: bool
    swapped: bool | None


def main(settings: Settings) -> None:
    concepts = read_pairs(settings.pairs)
    # Who judges is asked last, after an hour.
    TextImage(ModelWishes(model=settings.clip))
    load_object_judge(settings.judge).check([each.name for pair in concepts for each in pair])
    kept = Kept(settings.out, asdict(settings))
    photos = settings.out / "photos"
    words = ("--count", 1, "--each", settings.photos, "--seed", PHOTO_SEED, "--out", photos)
    kept.make("photos", ("data", "make", "captioned-scenes", *words), photos)
    found: dict[str, list[Seen]] = {}
    minutes: dict[str, float] = {}
    exams: list[Exam] = []
    for pair in concepts:
        runs = learn(kept, settings, pair)
        for method, (_, names) in runs.items():
            minutes[method] = minutes.get(method, 0.0) + kept.minutes(*names) / len(concepts)
        exams += draw(kept, settings, pair, runs)
    for exam in exams:
        for picture, method in judge(kept, settings, exam):
            found.setdefault(method, []).append(picture)
    minutes |= {REGIONAL[name]: minutes[name] for name in REGIONAL} | {ASKED: 0.0}
    each = [concept for pair in concepts for concept in pair]
    tell(settings.out, found, minutes, check_judge(settings, each))
    tell_concepts(settings.out, each, found)


def read_pairs(texts: Sequence[str]) -> list[tuple[Concept, Concept]]:
    """Pairs of objects that training never sees, each under a word of its own."""
    names = [[name.strip() for name in text.split(",")] for text in texts]
    for name in (each for pair in names for each in pair):
        if name not in (*NEW, *UNSEEN):
            raise unknown_name("concept", name, (*NEW, *UNSEEN))
    concepts = [
        Concept(name, f"<new{place + 1}>")
        for place, name in enumerate(each for pair in names for each in pair)
    ]
    return list(zip(concepts[::2], concepts[1::2], strict=True))


Runs = dict[str, tuple[Path, tuple[str, ...]]]
"""By method the run that knows both words, and the commands that it took."""


def learn(kept: Kept, settings: Settings, pair: Sequence[Concept]) -> Runs:
    """Every method's run of a pair; of what is learned alone, in the folder of the pair for each concept."""
    place = settings.out / "runs" / "+".join(concept.file for concept in pair)

    def train(
        how: str, which: Sequence[Concept], starts: Sequence[str], folder: str, *more: object
    ) -> str:
        run = place / folder
        words = (*_training(settings, how, which, starts), *more, "--run", run)
        kept.run(str(run), words, run)
        return str(run)

    runs: Runs = {}
    near = [concept.near for concept in pair]
    for method, starts, name in (
        (INVERSION, near, "inversion"),
        (OTHER_START, [NOTHING] * 2, f"inversion-{NOTHING}"),
        (RANDOM_START, [RANDOM] * 2, f"inversion-{RANDOM}"),
    ):
        each = [
            train("textual-inversion", [concept], [start], f"{name}-{concept.file}")
            for concept, start in zip(pair, starts, strict=True)
        ]
        both = place / name
        words = ("personalize", "import", *each, "--pipeline", settings.pipeline, "--run", both)
        kept.make(str(both), words, both)
        runs[method] = both, (*each, str(both))
    alone = [train("custom-diffusion", [c], [c.near], f"custom-{c.file}") for c in pair]
    runs[SINGLE] = place, tuple(alone)
    # Learned together they take the pictures of their kinds that were drawn for each alone.
    drawn = [Path(run) / "prior" / c.word.strip("<>") for run, c in zip(alone, pair, strict=True)]
    priors = [word for folder in drawn for word in ("--prior", folder)]
    joint = train("custom-diffusion", pair, near, "joint", *priors)
    runs[JOINT] = Path(joint), (joint,)
    merged = place / "merged"
    kept.make(str(merged), ("personalize", "merge", *alone, "--run", merged), merged)
    runs[MERGED] = merged, (*alone, str(merged))
    return runs


def _training(
    settings: Settings, how: str, which: Sequence[Concept], starts: Sequence[str]
) -> list[object]:
    words: list[object] = ["personalize", how, "--pipeline", settings.pipeline]
    for concept, start in zip(which, starts, strict=True):
        photos = settings.out / "photos" / concept.photos
        words += ["--concept", f"{concept.word}={photos}"]
        words += ["--start", RANDOM] if start == RANDOM else ["--word", start]
    name, budget = (
        ("minutes", settings.minutes) if settings.steps is None else ("steps", settings.steps)
    )
    words += [
        f"--{name}",
        budget * len(which),
        "--batch",
        settings.batch,
        "--vectors",
        settings.vectors,
        "--seed",
        settings.seed,
        "--no-mirror",  # in this world light comes from one side
        "--crop",  # and nothing is nearer than the camera lets it be
        1,
    ]
    if how == "custom-diffusion":
        words += ["--rate", settings.rate, "--prior-count", settings.prior_count]
        words += ["--prior-steps", settings.calls, "--prior-guidance", settings.guidance]
    return words


def draw(kept: Kept, settings: Settings, pair: Sequence[Concept], runs: Runs) -> Iterable[Exam]:
    """Every picture of a pair, by lists of prompts."""
    place = settings.out / "pictures" / "+".join(concept.file for concept in pair)
    run = {method: path for method, (path, _) in runs.items()} | {ASKED: settings.pipeline}
    named = [replace(concept, word=concept.name) for concept in pair]
    lists = {
        "in-words": ([*map(alone, named), together(named)], [ASKED]),
        "all": ([*map(alone, pair), together(pair)], [m for m in runs if m != SINGLE]),
        "together": ([together(pair)], list(REGIONAL)),
        **{concept.file: ([alone(concept)], [SINGLE]) for concept in pair},
    }
    attention = [word for concept in pair for word in ("--attention", concept.word)]
    around = [
        word for c in pair for word in ("--around", settings.out / "photos" / c.photos)
    ]  # whose middle is the empty table
    for name, (entries, methods) in lists.items():
        asked = settings.out / "prompts" / place.name / f"{name}.json"
        write_json(asked, {key: entry for each in entries for key, entry in each.items()})
        drawn = []
        for method in methods:
            path, more, title = run[method], list[object](), method
            if name == "all":
                more = [*attention]
            elif name == "together":
                more, title = [*attention, "--regional", *around], REGIONAL[method]
            elif method == SINGLE:
                path = path / f"custom-{name}"
            folder = place / name / re.sub(r"[', ]+", "-", title)
            words = (
                "generate",
                path,
                "--input",
                asked,
                *more,
                *_drawing(settings),
                "--out",
                folder,
            )
            kept.run(str(folder), words)
            drawn.append(Drawn(title, folder))
        told = {concept.file for concept in pair if concept.is_told}
        yield Exam(asked, drawn, place / name / "scores", told)


def alone(concept: Concept) -> dict[str, object]:
    """The entry of a concept in input.json."""
    return {
        concept.file: {
            "src_image": concept.photos,
            "token_name": concept.word,
            "prompt": [prompt.format(concept.word) for prompt in ALONE],
            "prompt_4_clip_eval": [prompt.format(concept.said) for prompt in ALONE],
            "objects": [concept.name],
        }
    }


def together(pair: Sequence[Concept]) -> dict[str, object]:
    """The entry of two concepts, in both orders."""
    orders = (tuple(pair), tuple(pair)[::-1])
    return {
        "+".join(concept.file for concept in pair): {
            "src_image": [concept.photos for concept in pair],
            "token_name": [concept.word for concept in pair],
            "prompt": [TOGETHER.format(*(c.word for c in order)) for order in orders],
            "prompt_4_clip_eval": [TOGETHER.format(*(c.said for c in order)) for order in orders],
            "objects": [concept.name for concept in pair],
        }
    }


def _drawing(settings: Settings) -> list[object]:
    named = {
        "count": settings.count,
        "steps": settings.calls,
        "guidance": settings.guidance,
        "seed": settings.seed,
    }
    return [word for name, value in named.items() for word in (f"--{name}", value)]


def judge(kept: Kept, settings: Settings, exam: Exam) -> Iterable[tuple[Seen, str]]:
    """Scores the folders side by side and reads what was found in each picture, with its method."""
    asked, drawn, out, told = exam
    words = (
        *("personalize", "score", *(f"{each.method}={each.folder}" for each in drawn)),
        *("--input", asked, "--photos", settings.out / "photos", "--judge", settings.judge),
        *("--model", settings.clip, "--out", out),
    )
    kept.run(str(out), words)
    with (out / "images.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            yield (
                Seen(
                    f"{row['entry']}/{row['prompt']}",
                    row["image_name"],
                    float(row["image"]),
                    float(row["text"]) if told >= {*row["entry"].split("+")} else math.nan,
                    float(row["leak"] or math.nan),
                    row["all_present"] == "true",
                    row["swapped"] == "true" if row["swapped"] else None,
                ),
                row["method"],
            )


def check_judge(settings: Settings, concepts: Sequence[Concept]) -> dict[str, Share]:
    """How often the judge finds a concept in its own photos, and in those of the other concepts."""
    names = [concept.name for concept in concepts]
    reader = load_object_judge(settings.judge)
    sets = [read(str(settings.out / "photos" / concept.photos)) for concept in concepts]
    said = torch.stack([(reader.read(photos, names) > 0.5).sum(0) for photos in sets])
    own, shown = int(said.diagonal().sum()), settings.photos * len(names)
    others = int(said.sum()) - own
    return {
        "judge.own": share(own, shown),
        "judge.others": share(others, shown * (len(names) - 1)),
    }


def tell(
    out: Path,
    found: dict[str, list[Seen]],
    minutes: dict[str, float],
    worth: dict[str, Share],
) -> None:
    """The table, results.json, the differences that were asked for, and what the judge is worth."""
    results: dict[str, dict[str, float]] = {}
    rows: list[list[str]] = []
    known: Known = {}
    for method in METHODS:
        pictures = found[method]
        one, two = (figures(of_kind(pictures, kind)) for kind in ("one", "two"))
        known[method] = {"one": one, "two": two}
        results[method] = {"minutes": minutes[method]}
        for kind, found_of in known[method].items():
            for name, figure in found_of.items():
                results[method] |= with_interval(f"{kind}.{name}", figure)
        cells = [
            *(_cell(one, name) for name in ("present", "image", "text")),
            *(_cell(two, name) for name in ("present", "leak", "swapped", "text", "image")),
        ]
        rows.append([method, *cells, f"{minutes[method]:.1f}"])
    show_table(COLUMNS, rows, out)
    apart = {}
    for first, other, kind in DIFFERENCES:
        difference = _difference(of_kind(found[first], kind), of_kind(found[other], kind))
        apart[f"{other} - {first}: {kind}"] = with_interval("present", difference)
        points = " to ".join(f"{100 * value:+.1f}" for value in difference[1:3])
        print(f"{kind}, {other} - {first}: {100 * difference.value:+.1f} points ({points})")
    print(
        f"in the photos themselves the judge finds the concept {percent(worth['judge.own'])}, another "
        f"{percent(worth['judge.others'])}"
    )
    figures_of_judge = [with_interval(name, part) for name, part in worth.items()]
    told = {key: value for each in figures_of_judge for key, value in each.items()}
    goals = held_against(goals_of(known))
    everything = {"methods": results, "differences": apart, "goals": goals, **told}
    write_json(out / "results.json", everything)
    write(page(rows, known, worth), out / "report.html")
    print(f"written: {out / 'table.txt'}, {out / 'results.json'}, {out / 'report.html'}")


def goals_of(known: Known) -> list[Goal]:
    """What was set out to be reached of shares of pictures in which the judge finds what it should."""

    def found(method: str, kind: str) -> float:
        return known[method][kind]["present"].value

    drew_both = [m for m in METHODS if m != ASKED and known[m]["two"]]
    best = max(drew_both, key=lambda method: found(method, "two"))
    return [
        Goal(f"one concept, {INVERSION}", 0.8, found(INVERSION, "one")),
        Goal(f"one concept, {SINGLE}", 0.9, found(SINGLE, "one")),
        Goal(f"one concept, {JOINT}", 0.9, found(JOINT, "one")),
        Goal(
            f"one concept, {MERGED} less {JOINT}", -0.1, found(MERGED, "one") - found(JOINT, "one")
        ),
        Goal(f"two concepts, {best}", 0.7, found(best, "two")),
    ]


def tell_concepts(out: Path, concepts: Sequence[Concept], found: dict[str, list[Seen]]) -> None:
    """How often each concept alone is found: whole new shapes are harder than new combinations."""
    rows = [
        [
            concept.name,
            "new shape" if concept.name in NEW else "new combination",
            *(_found_of(concept, found[method]) for method in ALONE_TOO),
        ]
        for concept in concepts
    ]
    show_table(("concept", "which is a", *ALONE_TOO), rows, out / "concepts")


def _found_of(concept: Concept, pictures: Sequence[Seen]) -> str:
    own = [each for each in pictures if each.prompt.startswith(f"{concept.file}/")]
    return _cell(figures(own), "present")


def page(rows: Sequence[Sequence[str]], known: Known, worth: dict[str, Share]) -> Report:
    """The table, and a panel of intervals for each of PANELS."""
    judge = [percent(worth[name]) for name in ("judge.own", "judge.others")]
    return Report(
        title="Concepts in the small world",
        lead="Kinds of objects that the pipeline was never trained on, learned from a few photos each.",
        sections=[
            Section(
                "How the methods do",
                items=[
                    Table("Methods", COLUMNS, rows, CAPTION),
                    Picture(
                        "Measures",
                        "With 95 % intervals.",
                        "A panel for each figure, a point with its interval for each method.",
                        measures(known),
                    ),
                ],
            )
        ],
        facts={"judge, in photos of the concept": judge[0], "of another": judge[1]},
        commands=[shlex.join(["python", *sys.argv])],
        files=[("table.csv", "the methods"), ("results.json", "every figure")],
    )


def measures(known: Known) -> Image.Image:
    """A panel for each figure that is known, a line for each method."""
    panels = []
    for (kind, name), title in PANELS.items():
        each = {method: found[kind][name] for method, found in known.items() if name in found[kind]}
        if each:
            panels.append(intervals(list(each), [figure[:3] for figure in each.values()], title))
    return stack(panels)


def of_kind(pictures: Sequence[Seen], kind: str) -> list[Seen]:
    """Those of prompts of one concept, or of two."""
    return [each for each in pictures if ("+" in each.prompt) == (kind == "two")]


def figures(pictures: Sequence[Seen]) -> dict[str, Mean | Share]:
    """Over pictures, with the prompts as they are; without what is not known."""
    if not pictures:
        return {}
    hits = sum(each.present for each in pictures)
    found: dict[str, Mean | Share] = {"present": share(hits, len(pictures))}
    mixed = [each.swapped for each in pictures if each.swapped is not None]
    if len(mixed) == len(pictures):
        found["swapped"] = share(sum(mixed), len(mixed))
    prompts = list(dict.fromkeys(each.prompt for each in pictures))
    for name in ("image", "text", "leak"):
        every = [[getattr(it, name) for it in pictures if it.prompt == p] for p in prompts]
        groups = [group for group in every if not any(map(math.isnan, group))]
        if groups:
            found[name] = mean_within(groups)
    return found


def _difference(first: Sequence[Seen], other: Sequence[Seen]) -> Share:
    """How much more often the other finds all; both drew the same prompts from the same noises."""
    assert [each[:2] for each in first] == [each[:2] for each in other]
    a, b = (torch.tensor([each.present for each in pictures]) for pictures in (other, first))
    return share_difference(a, b)


def _cell(known: dict[str, Mean | Share], name: str) -> str:
    figure = known.get(name)
    if figure is None:
        return "–"
    if isinstance(figure, Share):
        return percent(figure)
    digits = 3 if name == "leak" else 1
    return f"{figure.value:.{digits}f} ({figure.low:.{digits}f} to {figure.high:.{digits}f})"


if __name__ == "__main__":
    main(tyro.cli(Settings))
