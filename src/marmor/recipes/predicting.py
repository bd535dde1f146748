"""What a trained classifier reads in images, as a CSV: `marmor predict`."""

from collections import Counter
from pathlib import Path

from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.files import write_csv
from marmor.base.progress import console
from marmor.data import ImageSet, read
from marmor.networks.checkpoints import load_into
from marmor.networks.judges import DigitJudge
from marmor.recipes import adapt, adapting
from marmor.recipes.folders import WEIGHTS_FILE
from marmor.recipes.models import LoadedJudge, load_judge
from marmor.recipes.naming import HEADER, file_names, listing
from marmor.training import RunFolder, load_weights


def predict(
    spec: str, images: str, out: Path, like: Path | None, probabilities: bool, split: str = "test"
) -> None:
    """Writes ``image_name,label`` for every image of a split, in the order of the folder or of ``like``."""
    reader = load_reader(spec)
    side = reader.judge.image_size or reader.side
    found = _prepared(reader, read(images, split, side))
    _, logits = adapting.read(reader.judge, found)
    order = list(enumerate(file_names(found))) if like is None else _order(found, like)
    write_csv(out, _rows(reader.class_names, order, logits.softmax(1), probabilities))
    console.print(f"{len(order)} labels → {out}")


def load_reader(spec: str) -> LoadedJudge:
    """A run of `marmor adapt`, or anything that is a judge."""
    path = Path(spec)
    if not (path / "config.json").is_file() or RunFolder.open(path).recipe != adapt.RECIPE:
        return load_judge(spec)
    weights = path / WEIGHTS_FILE
    if not weights.is_file():
        raise UserError(f"{spec} is not finished; go on with it: marmor resume {spec}.")
    data = RunFolder.open(path).config["settings"]["data"]
    judge = DigitJudge(len(data["class_names"]), data["channels"])
    load_into(judge, load_weights(weights), spec)
    return LoadedJudge(judge.eval(), tuple(data["class_names"]), spec, data["side"])


def _prepared(reader: LoadedJudge, images: ImageSet) -> ImageSet:
    ready = reader.prepare(images)
    if ready.channels != reader.judge.channels:
        raise UserError(
            f"{reader.origin} reads grey images, and these are in colour; adapt to colour images."
        )
    for note in ready.notes:
        console.print(f"note: {note}")
    return ready


def _order(images: ImageSet, like: Path) -> list[tuple[int, str]]:
    """What the first column of a CSV names, by path or its last part: the image's place, and that name."""
    names = file_names(images)
    places = {name: place for place, name in enumerate(names)}
    short = Counter(Path(name).name for name in names)
    for place, name in enumerate(names):
        if short[Path(name).name] == 1:
            places.setdefault(Path(name).name, place)
    asked = [row[0] for row in listing(like, labelled=False)]
    missing = [name for name in asked if name not in places]
    if missing:
        raise UserError(
            f"{like} names {missing[0]}, which is not among the {len(names)} images; give the folder that "
            "holds it, or the --split."
        )
    return [(places[name], name) for name in asked]


def _rows(
    class_names: tuple[str, ...], order: list[tuple[int, str]], shares: Tensor, probabilities: bool
) -> list[list[str]]:
    """The table, its header first: the image at each place, under its name."""
    rows = [[*HEADER, *(class_names if probabilities else ())]]
    read_as = shares.argmax(1).tolist()
    for place, name in order:
        told = [f"{value:.6f}" for value in shares[place].tolist()] if probabilities else []
        rows.append([name, class_names[read_as[place]], *told])
    return rows
