"""What `marmor generate` is asked for: prompts, where their pictures lie, and what is drawn where in them."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from marmor.base.errors import UserError, unknown_name
from marmor.personalization import Box, Region, columns
from marmor.recipes.concept_lists import read_entries

SOLVERS = {
    "dpm-solver++": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
    "heun": "HeunDiscreteScheduler",
    "euler": "EulerDiscreteScheduler",
    "ddim": "DDIMScheduler",
    "ddpm": "DDPMScheduler",
}
"""Schedulers of diffusers by the names that solvers have elsewhere."""
PLACES: dict[str, Box] = {
    "left": (0.0, 0.0, 0.5, 1.0),
    "right": (0.5, 0.0, 1.0, 1.0),
    "top": (0.0, 0.0, 1.0, 0.5),
    "bottom": (0.0, 0.5, 1.0, 1.0),
}


@dataclass(frozen=True, kw_only=True)
class GenerateSettings:
    """What `marmor generate` can be told.

    Args:
        prompt: what to draw, new words in it, '<new1>'; several prompts draw one after the other.
        input: the course's input.json, whose prompts are drawn into <id>/<prompt>/.
        count: pictures of each prompt.
        out: folder for the pictures; those that are there already are kept.
        seed: the same seed gives the same files.
        guidance: scale; 1 is none.
        steps: of the solver.
        solver: dpm-solver++, unipc, heun, euler, ddim or ddpm; the pipeline's own when left out.
        regional: prompts of several new words are drawn in columns, one a word, from left to right.
        region: a place and its own prompt, 'left=a <new1>'; places are left, right, top, bottom, or four
            shares of width and height, 'left,top,right,bottom'. The prompt itself fills the rest.
        apart: the share of the steps in which regions do not see each other.
        around: a folder of pictures, or several one by one: what most of them show, the place without the
            things, is what regions see instead in these steps; a plain colour when left out.
        attention: also maps of where the network looks for a word; several one by one.
    """

    prompt: tuple[str, ...] = ()
    input: Path | None = None
    count: int = 25
    out: Path
    seed: int = 0
    guidance: float = 7.5
    steps: int = 50
    solver: str | None = None
    regional: bool = False
    region: tuple[str, ...] = ()
    apart: float = 0.2
    around: tuple[Path, ...] = ()
    attention: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """One prompt: where its pictures lie, how they are called, and what is drawn where."""

    folder: str
    prompt: str
    name: Callable[[int], str]
    regions: tuple[Region, ...]
    apart: float
    """The share of the steps in which regions do not see each other."""
    around: str | None = None
    """Hex digits of what they see instead; None for plain colours."""

    @property
    def told(self) -> dict[str, Any]:
        """As JSON."""
        if not self.regions:
            return {"prompt": self.prompt}
        regions = [[list(box), prompt] for box, prompt in self.regions]
        told = {"prompt": self.prompt, "regions": regions, "apart": self.apart}
        return told if self.around is None else told | {"around": self.around}


def check(settings: GenerateSettings) -> None:
    """UserError for wishes that cannot be, whatever the pipeline."""
    if bool(settings.prompt) == (settings.input is not None):
        raise UserError("say what to draw with --prompt, or with --input and a list of prompts.")
    for name in ("count", "steps"):
        if getattr(settings, name) < 1:
            raise UserError(f"--{name} must be at least 1, not {getattr(settings, name)}.")
    if settings.solver not in (None, *SOLVERS):
        raise unknown_name("solver", str(settings.solver), SOLVERS)
    if not math.isfinite(settings.guidance):
        raise UserError(f"--guidance must be a number, not {settings.guidance}.")
    if not 0 <= settings.apart <= 1:
        raise UserError(f"--apart is a share of the steps, from 0 to 1, not {settings.apart}.")
    if settings.region and (settings.regional or len(settings.prompt) != 1):
        raise UserError(
            "--region says what is drawn where for one --prompt; for columns of all prompts say --regional."
        )
    if settings.around and not (settings.regional or settings.region):
        raise UserError(
            "--around is what regions see; add --regional or --region, or leave it out."
        )
    if any(not prompt.strip() for prompt in settings.prompt):
        raise UserError("--prompt is empty; say what to draw.")


def tasks_of(settings: GenerateSettings) -> list[Task]:
    """What is asked for, prompt by prompt."""
    own = tuple(_region(text) for text in settings.region)

    def regions(prompt: str) -> tuple[Region, ...]:
        return columns(prompt) if settings.regional else own

    if settings.input is None:
        names = _folders(settings.prompt)
        return [Task(names[p], p, lambda k: f"{k}.png", regions(p), settings.apart) for p in names]
    return [
        Task(
            entry.folder(j),
            prompt,
            lambda k, e=entry, j=j: e.file(j, k),
            regions(prompt),
            settings.apart,
        )
        for entry in read_entries(settings.input)
        for j, prompt in enumerate(entry.prompts)
    ]


def _folders(prompts: Sequence[str]) -> dict[str, str]:
    """A folder for each prompt: its letters and digits, and where that says too little, a few hex digits."""
    found: dict[str, str] = {}
    for prompt in prompts:
        name = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:60]
        if not name or name in found.values():
            name = f"{name}-{blake2b(prompt.encode(), digest_size=4).hexdigest()}".lstrip("-")
        found.setdefault(prompt, name)
    return found


def _region(text: str) -> Region:
    """'left=a <new1>' or '0,0,0.5,1=a <new1>'."""
    place, equals, prompt = text.partition("=")
    if not equals or not prompt.strip():
        raise UserError(
            f"--region {text!r} should be a place and its prompt, such as 'left=a <new1>'."
        )
    if place in PLACES:
        return Region(PLACES[place], prompt)
    try:
        left, top, right, bottom = map(float, place.split(","))
    except ValueError:
        raise unknown_name("place", place, PLACES) from None
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise UserError(
            f"--region {place!r} should be left,top,right,bottom, shares of the sides that rise from 0 to 1."
        )
    return Region((left, top, right, bottom), prompt)
