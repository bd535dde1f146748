"""What words alone find that training never saw: a table against chance, by one resumable command.

    python benchmarks/zero_shot.py --objects objects50

Of scenes: the colours and shapes that the small CLIP knows apart and never together, among the 24 objects of
i-CLEVR, on pictures rendered anew, and beside them the objects that it does know; and pictures of two
objects, one of them never seen, among all 276 pairs. Of ``--objects``, a folder with objects50_train.zip,
objects50_val.zip and objects50_id2label.json: a CLIP is trained on all classes of the first but some, and
told to find those among each other in both.
Everything is done by marmor's own commands, which stand in commands.json. Writes table.txt, table.csv and
results.json.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
import tyro
from torch import Tensor

from kept import Kept
from marmor.base.files import read_settings, write_json
from marmor.base.seeds import torch_stream
from marmor.data import CLASS, ImageSet, join, read, write
from marmor.data.scenes import OBJECTS, UNSEEN, make_scenes
from marmor.recipes.naming import FROM_NAMES, read_names, truth_of
from marmor.recipes.tables import show_table

RENDERED_SEED = 72_000
"""Far from the seeds of training sets."""
OBJECTS_NAMES = "objects50_id2label.json"
COLUMNS = ("pictures of", "pictures", "names to choose among", "top-1", "chance")


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Args:
        clip: the one that ships, a run of `marmor train tiny-clip`, or another that `marmor zero-shot` takes.
        each: pictures of each combination to render, and a fifth as many of each known object.
        objects: a folder with objects50_train.zip, objects50_val.zip and objects50_id2label.json.
        held_out: classes that are kept out, a number or names with commas between them; which ones follows
            from the seed where it is a number.
        minutes: of training.
        steps: a budget in steps instead, for a trial.
        seeds: of trainings on the objects.
        out: folder for everything; what is finished in it is kept.
    """

    clip: Path = Path("pretrained:tiny-clip")
    each: int = 50
    objects: Path | None = None
    held_out: str = "10"
    minutes: float = 25.0
    steps: int | None = None
    seeds: tuple[int, ...] = (0,)
    out: Path = Path("runs/zero-shot")


def main(settings: Settings) -> None:
    kept = Kept(settings.out, asdict(settings))
    found = {
        "scenes of one object, its combination never seen": scenes(kept, settings),
        "scenes of one object that was": known(kept, settings),
        "scenes of two objects, one of them never seen": pairs(kept, settings),
    }
    if settings.objects is not None:
        for seed in settings.seeds:
            found[f"objects, classes never seen, seed {seed}"] = objects(kept, settings, seed)
    rows = [
        [
            name,
            str(told["pictures"]),
            str(told["among"]),
            " to ".join(f"{100 * told[key]:.1f}" for key in ("top1.low", "top1.high")).join(
                (f"{100 * told['top1']:.1f} % (", ")")
            ),
            f"{100 / told['among']:.1f} %",
        ]
        for name, told in found.items()
    ]
    show_table(COLUMNS, rows, settings.out)
    write_json(settings.out / "results.json", found)


def scenes(kept: Kept, settings: Settings) -> dict[str, Any]:
    """Zero-shot by `marmor zero-shot` on new renders of the combinations that were kept out."""
    made, out = settings.out / "rendered", settings.out / "scenes"
    words = ("--count", 1, "--each", settings.each, "--seed", RENDERED_SEED, "--out", made)
    kept.make("rendered", ("data", "make", "captioned-scenes", *words), made)
    asked = (
        "--images",
        made / "unseen",
        "--labels",
        made / "id2label.json",
        "--templates",
        "plain",
    )
    kept.run("scenes", ("zero-shot", "--model", settings.clip, *asked, "--out", out))
    told = read_settings(out / "summary.json")
    return _told(told, len(OBJECTS))


def known(kept: Kept, settings: Settings) -> dict[str, Any]:
    """The same for the objects of i-CLEVR that training does see, alone."""
    shown = [k for k, name in enumerate(OBJECTS) if name not in UNSEEN]
    truth = torch.tensor(shown).repeat_interleave(max(1, settings.each // 5))
    return rendered(kept, settings, "scenes-known", truth, [(k,) for k in range(len(OBJECTS))])


def pairs(kept: Kept, settings: Settings) -> dict[str, Any]:
    """The same for pictures of such an object and a known one, by the names of all pairs of objects."""
    every = list(combinations(range(len(OBJECTS)), 2))
    unseen = {OBJECTS.index(name) for name in UNSEEN}
    mixed = torch.tensor([k for k, pair in enumerate(every) if len(unseen & {*pair}) == 1])
    count = settings.each * len(UNSEEN)
    chosen = torch.randint(len(mixed), (count,), generator=torch_stream(RENDERED_SEED, "pairs"))
    return rendered(kept, settings, "scenes-of-two", mixed[chosen], every)


def rendered(
    kept: Kept, settings: Settings, name: str, truth: Tensor, every: Sequence[Sequence[int]]
) -> dict[str, Any]:
    """Pictures of the sets ``truth``, places in ``every``, told apart by the names of all of these."""
    names = tuple(" next to a ".join(OBJECTS[k] for k in each) for each in every)

    def make() -> ImageSet:
        images = make_scenes([every[k] for k in truth.tolist()], RENDERED_SEED)
        return ImageSet(images, {CLASS: truth}, {CLASS: names})

    return answered(kept, settings.out / name, settings.clip, make, "plain")


def answered(
    kept: Kept, out: Path, model: Path, make: Callable[[], ImageSet], templates: str
) -> dict[str, Any]:
    """What `marmor zero-shot` finds in pictures, which are made once, by the names of their own classes."""
    made, labels = (out.with_name(f"{out.name}{ending}") for ending in (".npz", ".json"))
    if not made.is_file():
        images = make()
        write_json(labels, list(images.class_names))
        write(images, made)
    asked = ("--images", made, "--labels", labels, "--templates", templates)
    kept.run(out.name, ("zero-shot", "--model", model, *asked, "--out", out))
    told = read_settings(out / "summary.json")
    return _told(told, int(told["classes"]))


def objects(kept: Kept, settings: Settings, seed: int) -> dict[str, Any]:
    """Zero-shot by `marmor zero-shot` and a CLIP of its own for each seed, on classes kept out of it."""
    assert settings.objects is not None
    run = settings.out / f"objects-seed{seed}"
    name, budget = ("minutes", settings.minutes)
    if settings.steps is not None:
        name, budget = "steps", settings.steps
    words = (
        *("train", "tiny-clip", "--data", settings.objects / "objects50_train.zip"),
        *("--labels", settings.objects / OBJECTS_NAMES),
        *("--held-out-classes", settings.held_out, f"--{name}", budget),
        *("--seed", seed, "--run", run),
    )
    kept.run(run.name, words, run)
    classes = tuple(read_settings(run / "summary.json")["held_out.classes"])
    folder = settings.objects
    out = settings.out / f"{run.name}-unseen"
    found = answered(kept, out, run, lambda: kept_out(folder, classes), "simple")
    return found | {"classes": classes}


def kept_out(folder: Path, classes: tuple[str, ...]) -> ImageSet:
    """The pictures of some classes, of training set and validation set alike."""
    parts, names = [], read_names(folder / OBJECTS_NAMES)
    for split in ("train", "val"):
        images = read(str(folder / f"objects50_{split}.zip"), "train").colour()
        truth = truth_of(images, names, FROM_NAMES)
        assert truth is not None
        places = torch.tensor([names.names.index(name) for name in classes])
        shown = (truth[:, None] == places).nonzero()
        labels = {CLASS: shown[:, 1]}
        parts.append(ImageSet(images.images[shown[:, 0]], labels, {CLASS: classes}))
    return join(parts)


def _told(told: Mapping[str, Any], among: int) -> dict[str, Any]:
    top = {name: told[name] for name in ("top1", "top1.low", "top1.high")}
    return {**top, "pictures": int(told["images"]), "among": among}


if __name__ == "__main__":
    main(tyro.cli(Settings))
