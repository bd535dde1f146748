"""Pipelines with what was learned in them: the runs of `marmor personalize`, and plain folders."""

from pathlib import Path
from typing import Any

from marmor.personalization import add_placeholder
from marmor.recipes.learned import base_of, read_words
from marmor.recipes.text_to_image import load_pipeline
from marmor.training import RunFolder

RECIPES = ("textual-inversion",)


def load_personalized(run: Path) -> Any:
    """A StableDiffusionPipeline in float32 with the words and weights of a run in it.

    ``run`` is a run of `marmor personalize`, whatever its kind, or a plain pipeline folder of diffusers.
    Prompts may use the run's words; diffusers writes several vectors out by itself. Raises UserError where
    the folder is neither, where nothing has been learned yet, and where the run's pipeline has changed.
    """
    if (run / "model_index.json").is_file():
        return load_pipeline(run)
    opened = RunFolder.open(run, *RECIPES)
    words = read_words(opened)
    pipeline = load_pipeline(base_of(opened))
    for name, vectors in words.items():
        add_placeholder(pipeline.tokenizer, pipeline.text_encoder, name, vectors)
    return pipeline
