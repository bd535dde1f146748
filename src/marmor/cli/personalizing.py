"""`marmor personalize …` and `marmor generate`."""

from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg

from marmor.base.progress import console
from marmor.recipes import (
    bringing_in,
    custom_diffusion,
    generating,
    lora,
    merging_runs,
    personal_scoring,
    personal_scoring_page,
    prompting,
    textual_inversion,
)


def personalize_textual_inversion(
    settings: Annotated[
        OmitArgPrefixes[UseAppendAction[textual_inversion.InversionSettings]], arg(name="")
    ],
) -> None:
    """Teach a text-to-image pipeline new words from a few photos each; nothing but the words is trained.

    Example: marmor personalize textual-inversion --pipeline DIR --concept '<new1>=photos' --word dog
    """
    run = textual_inversion.train(settings)
    console.print(f"learned: {run.path}/embeddings; load it with diffusers' load_textual_inversion")


def personalize_custom_diffusion(
    settings: Annotated[
        OmitArgPrefixes[UseAppendAction[custom_diffusion.CustomSettings]], arg(name="")
    ],
) -> None:
    """Teach a pipeline new words and the weights that read them, without its forgetting their kind.

    Example: marmor personalize custom-diffusion --pipeline DIR --concept '<new1>=photos' --word dog
    """
    run = custom_diffusion.train(settings)
    console.print(
        f"learned: {run.path}; a pipeline of it: marmor personalize export {run.path} --out DIR"
    )


def personalize_lora(
    settings: Annotated[OmitArgPrefixes[UseAppendAction[lora.LoraSettings]], arg(name="")],
) -> None:
    """Teach a pipeline concepts as low-rank weights beside its own, which diffusers loads as LoRA.

    Example: marmor personalize lora --pipeline DIR --concept '<new1>=photos' --word dog
    """
    run = lora.train(settings)
    console.print(
        f"learned: {run.path}; load it with diffusers' load_lora_weights, and its words as well"
    )


def personalize_merge(
    runs: Positional[tuple[Path, ...]],
    run: Annotated[Path, arg(aliases=("--out",))] = Path("runs/merged"),
    prompt: UseAppendAction[tuple[str, ...]] = (),
    captions: Path | None = None,
) -> None:
    """Merge concepts that were learned apart in the same pipeline, in closed form.

    Example: marmor personalize merge runs/dog runs/cat --out runs/both

    Args:
        runs: runs of `marmor personalize custom-diffusion`, or of textual-inversion.
        run: the run folder to write.
        prompt: sentences with {}, in which the words must be answered as their own runs answer them; 'a photo
            of a {}' when left out.
        captions: a text file, one caption a line, on which the pipeline should stay as it is; plain sentences
            of the tokenizer's own words when left out.
    """
    made = merging_runs.merge_runs(runs, run, prompt or merging_runs.PROMPTS, captions)
    console.print(f"merged: {made.path}; how well: {made.path}/summary.json")


def personalize_import(
    files: Positional[tuple[Path, ...]], pipeline: Path, run: Path = Path("runs/imported")
) -> None:
    """Make a run of files of learned words, Custom Diffusion or LoRA that others wrote.

    Example: marmor personalize import custom-diffusion-output --pipeline DIR --run runs/theirs

    Args:
        files: such files, folders that hold them, or another run.
        pipeline: the pipeline that they were learned on.
        run: the run folder to write.
    """
    made = bringing_in.bring_in(files, pipeline, run)
    console.print(f"imported: {made.path}")


def personalize_score(
    folders: Positional[tuple[str, ...]],
    settings: Annotated[OmitArgPrefixes[personal_scoring.PersonalScoreSettings], arg(name="")],
) -> None:
    """Tell how like its photos and its prompt what was drawn is, and what leaks between concepts.

    Example: marmor personalize score plain=drawn regional=apart --input input.json --model clip-vit-b32

    Args:
        folders: folders of `marmor generate --input`, DIR or NAME=DIR; several are compared.
    """
    personal_scoring_page.tell(personal_scoring.score(folders, settings))


def generate(
    run: Positional[Path],
    settings: Annotated[OmitArgPrefixes[UseAppendAction[prompting.GenerateSettings]], arg(name="")],
) -> None:
    """Draw pictures by prompts, new words in them; the same command again goes on where it was stopped.

    Example: marmor generate runs/both --prompt 'a <new1> next to a <new2>' --count 25 --out drawn

    Args:
        run: a run of `marmor personalize`, or any folder of diffusers' StableDiffusionPipeline.
    """
    generating.generate(run, settings)
