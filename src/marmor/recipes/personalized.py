"""Personalized pipelines as what they are when they draw: a pipeline that knows the new words."""

from pathlib import Path
from typing import Any

from marmor.base.errors import UserError
from marmor.personalization import add_placeholder, read_embedding
from marmor.recipes import textual_inversion
from marmor.recipes.text_to_image import load_pipeline
from marmor.training import RunFolder

INDEX = "model_index.json"
"""What a folder of a pipeline has, and a run has not."""


def load_personalized(run: Path) -> Any:
    """The pipeline of a personalization run with its new words, or a plain StableDiffusionPipeline folder.

    Raises UserError where the folder is neither, where the run has learned no words yet, and as
    ``load_pipeline`` does.
    """
    if not (run / "config.json").is_file() or (run / INDEX).is_file():
        return load_pipeline(run)
    folder = RunFolder.open(run, textual_inversion.RECIPE)
    asked = folder.config["settings"]["asked"]
    words = [text.partition("=")[0] for text in asked["concept"]]
    files = [textual_inversion.embedding_file(folder, word) for word in words]
    if missing := [word for word, file in zip(words, files, strict=True) if not file.is_file()]:
        raise UserError(
            f"{run} has not learned {missing[0]} to the end; go on with: marmor resume {run}."
        )
    pipeline = load_pipeline(Path(asked["pipeline"]))
    for file in files:
        add_placeholder(pipeline.tokenizer, pipeline.text_encoder, *read_embedding(file))
    return pipeline
