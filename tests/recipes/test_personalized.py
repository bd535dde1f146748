"""Runs of `marmor personalize` and plain folders as pipelines."""

from pathlib import Path

import pytest
import torch

from marmor.base.errors import UserError
from marmor.recipes.personalized import load_personalized


def test_a_plain_folder_is_itself(pipeline_folder: Path, pipeline, draw) -> None:
    assert torch.equal(
        draw(load_personalized(pipeline_folder), "a red dog"), draw(pipeline, "a red dog")
    )


def test_what_is_neither_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run folder"):
        load_personalized(tmp_path)
