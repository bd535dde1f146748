"""The command `marmor`: finds the function behind the words and calls it. No logic."""

import sys
from collections.abc import Sequence

import tyro

from marmor import __version__
from marmor.base.errors import UserError, unknown_name
from marmor.base.progress import console
from marmor.cli import data, drawing, measuring, personalizing, sharing, starting, training
from marmor.cli.arguments import Command

COMMANDS: dict[str, dict[str, Command]] = {
    "start": {"demo": starting.demo, "list": starting.list_},
    "data": {
        "data show": data.show,
        "data make mnist-m": data.make_mnist_m,
        "data make house-numbers": data.make_house_numbers,
        "data make scenes": data.make_scenes,
        "data make captioned-scenes": data.make_captioned_scenes,
    },
    "make": {
        "train digits": training.train_digits,
        "train digits-two-domains": training.train_digits_two_domains,
        "train faces": training.train_faces,
        "train gan-faces": training.train_gan_faces,
        "train iclevr": training.train_iclevr,
        "train judge": training.train_judge,
        "train scene-judge": training.train_scene_judge,
        "train tiny-clip": training.train_tiny_clip,
        "train tiny-text-to-image": training.train_tiny_text_to_image,
        "adapt": training.adapt,
        "personalize textual-inversion": personalizing.personalize_textual_inversion,
        "personalize custom-diffusion": personalizing.personalize_custom_diffusion,
        "personalize lora": personalizing.personalize_lora,
        "personalize merge": personalizing.personalize_merge,
        "personalize import": personalizing.personalize_import,
        "resume": starting.resume,
    },
    "draw": {
        "sample": drawing.sample,
        "generate": personalizing.generate,
        "ddim": drawing.ddim,
        "invert": drawing.invert,
        "interpolate": drawing.interpolate,
        "eta-grid": drawing.eta_grid,
        "grid": drawing.grid,
        "strip": drawing.strip,
    },
    "measure": {
        "study iclevr": training.study_iclevr,
        "score": measuring.score,
        "evaluate": measuring.evaluate,
        "compare": measuring.compare,
        "predict": measuring.predict,
        "zero-shot": measuring.zero_shot,
        "probe": measuring.probe,
        "personalize score": personalizing.personalize_score,
        "report": measuring.report,
    },
    "share": {"export": sharing.export, "personalize export": sharing.personalize_export},
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
    return f"  {name:<24} {first}"
