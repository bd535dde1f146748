"""Commands that hand a trained model on."""

from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from marmor.base.errors import UserError
from marmor.base.progress import console
from marmor.recipes import exporting, hub, personalized
from marmor.recipes.models import load_diffusion


def export(
    run: Positional[Path],
    out: Path | None = None,
    to: tuple[Literal["diffusers"], Path] | None = None,
    note: str = "",
    guidance: float | None = None,
) -> None:
    """Write a trained model as a small folder that every command takes, or one for diffusers.

    Example: marmor export runs/first --out models/first

    Args:
        run: the run folder.
        out: a new folder for config.json and model.safetensors, in half precision; of tiny-clip and
            tiny-text-to-image for config.json and the folder of transformers or diffusers.
        to: diffusers and a new folder for unet, scheduler and model_index.json; --network unet only.
        note: what the model is and what it was trained on.
        guidance: the scale it is drawn with from then on; long training needs less.
    """
    if out is None and to is None:
        raise UserError("name a new folder with --out, or one for diffusers with --to diffusers.")
    if to is not None:
        hub.write_hub(load_diffusion(str(run)), to[1])
        console.print(f"exported: {to[1]}")
    if out is not None:
        exporting.export(run, out, note, guidance)
        console.print(f"exported: {out}")


def personalize_export(
    run: Positional[Path], out: Path, to: personalized.Target = "pipeline"
) -> None:
    """Write a run as a whole pipeline with all that was learned in it, or as files for diffusers.

    Example: marmor personalize export runs/dog --out pipelines/dog

    Args:
        run: a run of `marmor personalize`.
        out: a new folder.
        to: a whole pipeline, or the files' ending: one a word, and one with the weights of the U-Net.
    """
    personalized.export(run, out, to)
    console.print(f"exported: {out}")
