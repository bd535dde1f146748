"""The command `marmor`: finds the function behind the words and calls it. No logic."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import Positional, arg

from marmor import __version__
from marmor.base.errors import UserError, unknown_name
from marmor.base.progress import console
from marmor.recipes import demo as demo_recipe
from marmor.recipes import digits, exporting, judge, pictures, reporting, running
from marmor.recipes.drawing import Wishes, changed, draw_with_bar, write_images
from marmor.recipes.models import Generator, load_generator
from marmor.training import Precision

Command = Callable[..., Any]
Spec = Annotated[str, arg(metavar="RUN|pretrained:NAME|FILE")]
How = Annotated[Wishes, arg(name="")]
Data = Annotated[str, arg(metavar="NAME|PATH")]

UNCHANGED = Wishes()


def demo(minutes: float = 4.0, run: Path = Path("runs/demo")) -> None:
    """Train on embedded digits for a few minutes, draw, judge, and open-able report.

    Example: marmor demo --minutes 4

    Args:
        minutes: of training.
        run: the run folder to write.
    """
    page = demo_recipe.demo(minutes, run)
    console.print(f"open the report: {page}")


def train_digits(settings: Annotated[digits.DigitsSettings, arg(name="")]) -> None:
    """Train a class-conditional diffusion model on labelled images.

    Example: marmor train digits --data mnist-m --run runs/first --minutes 10
    """
    run = digits.train(settings)
    console.print(f"trained: {run.path}; draw from it and measure it: marmor report {run.path}")


def train_judge(settings: Annotated[judge.JudgeSettings, arg(name="")]) -> None:
    """Train a classifier that reads images and judges samples.

    Example: marmor train judge --data mnist-m --run runs/judge
    """
    run = judge.train(settings)
    console.print(f"trained: {run.path}; read images: marmor score IMAGES --judge {run.path}")


def resume(run: Positional[Path]) -> None:
    """Go on with an interrupted run to the end of its budget.

    Example: marmor resume runs/first

    Args:
        run: the run folder.
    """
    running.resume(run)


def sample(
    model: Positional[Spec],
    out: Path,
    per_class: int = 100,
    classes: str = "",
    seed: int = 0,
    how: How = UNCHANGED,
    precision: Precision = "auto",
) -> None:
    """Draw images of each class as <class>_<nnn>.png.

    Example: marmor sample pretrained:digits --out digits --per-class 10

    Args:
        model: a run folder, pretrained:NAME, or a ContextUnet checkpoint.
        out: folder for the images.
        per_class: images of each class.
        classes: comma-separated names, such as 0,1; all when left out.
        seed: the same seed gives the same files.
        how: the model's own where left out.
        precision: auto is bf16 where the processor has it.
    """
    generator = _generator(model, how)
    asked = dict.fromkeys(name.strip() for name in classes.split(","))
    names = list(asked) if classes else generator.class_names
    write_images(draw_with_bar(generator, names, per_class, seed, precision), out)
    console.print(f"{per_class * len(names)} images → {out}")


def score(
    images: Positional[Data],
    judge: str = "pretrained:digit-judge",
    split: str = "test",
    crop: int | None = None,
    real: str | None = None,
    out: Path | None = None,
) -> None:
    """Tell how often a judge reads in images what their names say.

    Example: marmor score digits --judge pretrained:digit-judge --out scores

    Args:
        images: a folder of <class>_<nnn>.png, or any labelled data.
        judge: a judge's run, pretrained:NAME, or the course's checkpoint file.
        split: which split of the images, where they have splits.
        crop: side of the central square to read, of real images too; 28 for the published MNIST-M.
        real: labelled real images; adds the Fréchet distance on judge features and its floor.
        out: folder for summary.json and the confusion matrix.
    """
    running.score(images, judge, split, crop, real, out)


def grid(
    model: Positional[Spec],
    out: Path = Path("grid.png"),
    columns: int = 10,
    seed: int = 0,
    how: How = UNCHANGED,
) -> None:
    """Draw a picture with a row for each class.

    Example: marmor grid pretrained:digits --out grid.png

    Args:
        model: a run folder, pretrained:NAME, or a ContextUnet checkpoint.
        out: the PNG to write.
        columns: images of each class.
        seed: of the noises.
        how: the model's own where left out.
    """
    generator = _generator(model, how)
    console.print(f"grid: {pictures.grid_command(generator, out, columns, seed, 'auto')}")


def strip(
    model: Positional[Spec],
    class_: Annotated[str, arg(name="class")] = "0",
    out: Path = Path("strip.png"),
    frames: int = 6,
    seed: int = 0,
    how: How = UNCHANGED,
) -> None:
    """Show how one image is carved out of noise.

    Example: marmor strip pretrained:digits --class 0 --frames 6 --out strip.png

    Args:
        model: a run folder, pretrained:NAME, or a ContextUnet checkpoint.
        class_: what to draw.
        out: the PNG to write.
        frames: how many states to show, the first is noise, the last the image.
        seed: of the noise.
        how: the model's own where left out.
    """
    generator = _generator(model, how)
    pictures.save_png(pictures.process_strip(generator, class_, seed, frames), out)
    console.print(f"strip: {out}")


def report(
    run: Positional[Path], judge: str | None = None, per_class: int = 100, seed: int = 1
) -> None:
    """Draw, measure and show a trained run: report.html and summary.json.

    Example: marmor report runs/first

    Args:
        run: a run folder of `marmor train digits`.
        judge: a judge's run, pretrained:NAME, or file; the shipped one for digits.
        per_class: images drawn and judged of each class.
        seed: of the images.
    """
    console.print(f"open the report: {reporting.report(run, judge, per_class, seed)}")


def export(run: Positional[Path], out: Path, note: str = "", guidance: float | None = None) -> None:
    """Write a trained model as a small folder, in half precision, that every command takes.

    Example: marmor export runs/first --out models/first

    Args:
        run: the run folder.
        out: a new folder for config.json and model.safetensors.
        note: what the model is and what it was trained on.
        guidance: the scale it is drawn with from then on; long training needs less.
    """
    exporting.export(run, out, note, guidance)
    console.print(f"exported: {out}")


def list_(runs: Path = Path("runs")) -> None:
    """List recipes, embedded data, shipped weights and runs.

    Example: marmor list

    Args:
        runs: the folder whose runs are listed.
    """
    running.list_everything(runs)


def data_show(
    data: Positional[Data], split: str = "train", out: Path = Path("contact-sheet.png")
) -> None:
    """Tell what a data set is: counts, sizes, classes, ranges, fingerprint, a contact sheet.

    Example: marmor data show mnist-m

    Args:
        data: an embedded name or a path.
        split: train, val or test.
        out: the contact sheet, a PNG.
    """
    running.show_data(data, split, out)


def data_make_mnist_m(
    out: Path,
    digits: str = "digits",
    photos: Path | None = None,
    count: int | None = None,
    seed: int = 0,
    full: bool = False,
    without: str | None = None,
) -> None:
    """Make MNIST-M: digits that invert the photographs they lie on.

    Example: marmor data make mnist-m --digits mnist.npz --photos photos --out mnist-m.npz

    Args:
        out: an .npz file or a new folder.
        digits: grey digits with train and test splits; the embedded ones when left out.
        photos: a folder of photographs; the embedded ones when left out.
        count: training images to make; one for each digit when left out.
        seed: everything random follows from it.
        full: digits invert fully, without grey edges, as in the published test set.
        without: data whose test split (all of it, where it has no splits) is kept out of training.
    """
    running.make_digits(digits, photos, count, seed, full, without, out)


COMMANDS: dict[str, dict[str, Command]] = {
    "start": {"demo": demo, "list": list_},
    "data": {"data show": data_show, "data make mnist-m": data_make_mnist_m},
    "make": {"train digits": train_digits, "train judge": train_judge, "resume": resume},
    "draw": {"sample": sample, "grid": grid, "strip": strip},
    "measure": {"score": score, "report": report},
    "share": {"export": export},
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; wrong input is one sentence and status 2, an interruption status 130."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _call(words)
    except UserError as error:
        print(f"marmor: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        console.print(
            "interrupted; what was done is saved. `marmor resume RUN` goes on with a run."
        )
        sys.exit(130)


def _call(words: list[str]) -> None:
    if words[:1] == ["--version"]:
        console.print(__version__)
        return
    if not words or words[0] in ("-h", "--help"):
        console.print(_overview())
        return
    every = {name: command for group in COMMANDS.values() for name, command in group.items()}
    for length in range(min(len(words), 3), 0, -1):
        name = " ".join(words[:length])
        if name in every:
            tyro.cli(every[name], args=words[length:], prog=f"marmor {name}")
            return
    inner = [name for name in every if name.startswith(words[0] + " ")]
    if inner and (len(words) == 1 or words[1] in ("-h", "--help")):
        console.print("\n".join(_line(name, every[name]) for name in inner))
        return
    if inner:
        kind = "recipe" if words[0] == "train" else f"`marmor {words[0]}` command"
        raise unknown_name(kind, words[1], [name.split(" ", 1)[1] for name in inner])
    raise unknown_name("command", words[0], {name.split()[0] for name in every})


def _overview() -> str:
    lines = ["marmor: train, sample, measure and show image generators on your own machine.", ""]
    for group, commands in COMMANDS.items():
        lines.append(group)
        lines += [_line(name, command) for name, command in commands.items()]
    return "\n".join([*lines, "", "`marmor COMMAND --help` explains a command with an example."])


def _line(name: str, command: Command) -> str:
    first = (command.__doc__ or "").splitlines()[0]
    return f"  {name:<18} {first}"


def _generator(model: str, how: Wishes) -> Generator:
    generator = load_generator(model)
    return replace(generator, drawing=changed(generator.drawing, how))
