"""A trained model as a small folder that can be given away: config.json and model.safetensors."""

from pathlib import Path
from typing import Any

import torch

from marmor.base.errors import UserError
from marmor.base.files import write_json
from marmor.recipes.designs import Drawing
from marmor.recipes.folders import DRAWING_RECIPES, WEIGHTS_FILE
from marmor.recipes.gan_faces import RECIPE as GAN_RECIPE
from marmor.recipes.judge import RECIPE as DIGIT_JUDGE_RECIPE
from marmor.recipes.latents import DRAWS
from marmor.recipes.object_judging import JUDGE_RECIPE
from marmor.recipes.wishes import Wishes, changed
from marmor.training import RunFolder, save_weights


def export(path: Path, out: Path, note: str = "", guidance: float | None = None) -> None:
    """Writes the averaged weights of a run in half precision.

    Every command that takes a run takes the folder too. ``note`` says what it was trained on;
    ``guidance`` is what the model is drawn with from then on, the recipe's own when left out.
    Of a GAN the generator alone is written. Raises UserError where ``out`` holds something already, the run
    has no checkpoint, or guidance is given for a run that knows none.
    """
    changed(Drawing(), Wishes(guidance=guidance))  # refuses what cannot be drawn with
    run = RunFolder.open(path, *DRAWING_RECIPES, DIGIT_JUDGE_RECIPE, JUDGE_RECIPE)
    guided = run.recipe in DRAWING_RECIPES and run.recipe != GAN_RECIPE
    if guidance is not None and not guided:
        raise UserError(
            f"{path} is a run of the recipe {run.recipe!r}, which knows no guidance; "
            "leave --guidance out."
        )
    weights = run.average_weights()
    if run.recipe == GAN_RECIPE:
        weights = {name: values for name, values in weights.items() if name.startswith(DRAWS)}
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists and is not an empty folder; name a new one with --out.")
    halves = {
        name: values.to(torch.float16) if values.is_floating_point() else values
        for name, values in weights.items()
    }
    config = run.config
    config["settings"]["asked"] = _without_places(config["settings"]["asked"])
    config["settings"]["note"] = note
    if guidance is not None:
        config["settings"]["drawing"] = {"guidance": guidance}
    config["settings"]["trained"] = run.history()[-1:]
    save_weights(halves, out / WEIGHTS_FILE)
    write_json(out / "config.json", config)


def _without_places(asked: dict[str, Any]) -> dict[str, Any]:
    """The wishes without this machine's folders: data by file name, no run, no judge."""
    data = asked["data"]
    names = [Path(spec).name for spec in ([data] if isinstance(data, str) else data)]
    kept = {key: value for key, value in asked.items() if key not in ("run", "judge")}
    return {**kept, "data": names[0] if isinstance(data, str) else names}
