"""`marmor personalize lora` on a tiny random pipeline."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from marmor.base.errors import UserError
from marmor.cli import main
from marmor.personalization import read_low_rank
from marmor.recipes.learned import LOW_RANK
from marmor.recipes.lora import LoraSettings, resume, train
from marmor.recipes.personalized import load_personalized
from marmor.training import RunFolder

peers = pytest.importorskip("diffusers")
pytest.importorskip("peft")

Settings = Callable[..., LoraSettings]
PROMPT = "a photo of a red dog next to a <new2>"


@pytest.fixture
def settings(pipeline_folder: Path, concepts: tuple[str, ...], tmp_path: Path) -> Settings:
    """A concept that the pipeline has words for, and a new word."""
    both = concepts[0].replace("<new1>", "red dog"), concepts[1]
    plain = LoraSettings(
        pipeline_folder, both, ("dog",), tmp_path / "run", steps=3, rank=2, rate=0.01
    )
    return lambda **changes: replace(plain, **changes)


def test_diffusers_draws_the_run_from_its_files(
    settings: Settings, pipeline, pipeline_folder: Path, draw
) -> None:
    run = train(settings()).path
    before = draw(pipeline, "a photo of a red dog")
    pipeline.load_textual_inversion(str(run / "embeddings" / "new2"))
    assert torch.equal(draw(pipeline, "a photo of a red dog"), before)
    pipeline.load_lora_weights(str(run))
    assert torch.equal(draw(load_personalized(run), PROMPT), draw(pipeline, PROMPT))
    assert not torch.equal(draw(pipeline, "a photo of a red dog"), before)
    assert [path.name for path in (run / "embeddings").iterdir()] == ["new2"]
    weights = read_low_rank(run / LOW_RANK)
    grown = [values for name, values in weights.items() if "lora_B" in name]
    assert all(values.any() for values in grown)


def test_a_resumed_run_is_the_same_bit_for_bit(settings: Settings, tmp_path: Path) -> None:
    whole = train(settings(run=tmp_path / "whole"))
    half = train(settings(run=tmp_path / "half"))
    for checkpoint in (half.path / "checkpoints").iterdir():
        for file in checkpoint.iterdir():
            file.unlink()
        checkpoint.rmdir()
    (half.path / LOW_RANK).unlink()
    resume(RunFolder.open(half.path))
    mine, theirs = (read_low_rank(run.path / LOW_RANK) for run in (half, whole))
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_concepts_without_new_words_need_none(settings: Settings, tmp_path: Path) -> None:
    asked = settings(concept=settings().concept[:1], where="cross", steps=1)
    words = ["--pipeline", str(asked.pipeline), "--run", str(tmp_path / "told"), "--steps", "1"]
    main(["personalize", "lora", *words, "--concept", asked.concept[0], "--where", "cross"])
    assert not (tmp_path / "told" / "embeddings").exists()
    assert all(".attn2." in name for name in read_low_rank(tmp_path / "told" / LOW_RANK))


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [({"rank": 0}, "--rank must be at least 1"), ({"rate": 0.0}, "--rate must be a number above")],
)
def test_wishes_that_cannot_be_are_one_sentence(changes, wrong, settings: Settings) -> None:
    with pytest.raises(UserError, match=wrong):
        train(settings(**changes))
