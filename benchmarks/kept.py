"""Commands of a study, each run to its end once: what is finished is kept, what was stopped goes on."""

import shlex
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from marmor.base.errors import UserError
from marmor.base.files import read_settings, write_json
from marmor.cli import main

SETTINGS, COMMANDS = "settings.json", "commands.json"


class Kept:
    """The folder of a study, and what has been run in it.

    Raises UserError where the folder holds the results of other settings.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        told = {name: _plain(value) for name, value in settings.items()}
        file = folder / SETTINGS
        before = read_settings(file) if file.is_file() else told
        if apart := [name for name in told if before.get(name) != told[name]]:
            raise UserError(
                f"{folder} holds results of another {apart[0]} ({before.get(apart[0])}, now "
                f"{told[apart[0]]}); choose another --out."
            )
        write_json(file, told)
        held = folder / COMMANDS
        self.commands: dict[str, dict[str, Any]] = read_settings(held) if held.is_file() else {}

    def run(self, name: str, words: Sequence[object], run: Path | None = None) -> None:
        """``marmor WORDS``, or, where ``run`` is a run folder that has begun, on with it.

        The seconds of every attempt add up. Ctrl-C and wrong words end the study as they end the command.
        """
        told = self.commands.get(name, {"finished": False, "seconds": 0.0})
        asked = ["marmor", *map(str, words)]
        if told.get("command", asked) != asked:
            raise UserError(
                f"{self.folder} holds what another command made, {shlex.join(told['command'])}, now "
                f"{shlex.join(asked)}; choose another --out."
            )
        if told["finished"]:
            return
        goes_on = run is not None and (run / "config.json").is_file()
        given = ["resume", str(run)] if goes_on else list(map(str, words))
        print(f"\n{shlex.join(['marmor', *given])}", flush=True)
        began, finished = time.monotonic(), False
        try:
            main(given)
            finished = True
        finally:
            self.commands[name] = {
                "finished": finished,
                "seconds": told["seconds"] + time.monotonic() - began,
                "command": asked,
            }
            write_json(self.folder / COMMANDS, self.commands)

    def make(self, name: str, words: Sequence[object], made: Path) -> None:
        """The same for what is made at once: the pieces that a stopped command left are removed first."""
        if not self.commands.get(name, {}).get("finished"):
            shutil.rmtree(made, ignore_errors=True)
        self.run(name, words)

    def minutes(self, *names: str) -> float:
        """What commands took, from their first word to their last."""
        return sum(self.commands[name]["seconds"] for name in names) / 60


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value
