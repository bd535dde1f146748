"""`marmor personalize lora` on a tiny random pipeline."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from marmor.base.errors import UserError
from marmor.cli import main
from marmor.personalization import read_low_rank
from marmor.recipes import lora
from marmor.recipes.concepts import ConceptMethod, word_rate
from marmor.recipes.learned import LOW_RANK, read_words
from marmor.recipes.lora import LoraSettings, method_of, resume, train
from marmor.recipes.personalized import add_words, export, load_personalized
from marmor.recipes.text_to_image import load_pipeline
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


def test_a_longer_budget_changes_the_weights(settings: Settings) -> None:
    run = train(settings())
    before = (run.path / LOW_RANK).read_bytes()
    main(["resume", str(run.path), "--steps", "5"])
    assert run.history()[-1]["step"] == 5
    assert (run.path / LOW_RANK).read_bytes() != before


def test_words_have_the_rate_of_words_beside_that_of_the_weights(settings: Settings) -> None:
    method = method_of(settings())
    (optimizer,) = method.turn.optimizers.parts
    rows = method.lesson.rows()
    assert rows is not None
    assert [group["lr"] for group in optimizer.param_groups] == [0.01, word_rate(rows)]


def test_a_whole_pipeline_has_the_new_word_and_the_weights(
    settings: Settings, tmp_path: Path, draw
) -> None:
    run = train(settings()).path
    export(run, tmp_path / "whole")
    theirs = peers.StableDiffusionPipeline.from_pretrained(tmp_path / "whole")
    theirs.set_progress_bar_config(disable=True)
    assert "<new2>" in theirs.tokenizer.get_added_vocab()
    assert not any("lora" in name for name in theirs.unet.state_dict())
    assert torch.allclose(draw(theirs, PROMPT), draw(load_personalized(run), PROMPT), atol=1e-4)
    add_words(plain := load_pipeline(settings().pipeline), read_words(RunFolder.open(run)))
    assert not torch.allclose(draw(theirs, PROMPT), draw(plain, PROMPT), atol=1e-4)


def test_a_resumed_run_is_the_same_bit_for_bit(
    settings: Settings, tmp_path: Path, interrupted
) -> None:
    whole = train(settings(run=tmp_path / "whole"))
    with interrupted(ConceptMethod, 1), pytest.raises(KeyboardInterrupt):
        train(settings(run=tmp_path / "half"))
    half = RunFolder.open(tmp_path / "half")
    checkpoint = half.checkpoints.latest()
    assert checkpoint is not None
    assert checkpoint.name == "step-000002"
    assert not (half.path / LOW_RANK).exists()
    resume(half)
    for learned in (lambda run: read_low_rank(run.path / LOW_RANK), read_words):
        mine, theirs = learned(half), learned(whole)
        assert theirs
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_what_is_saved_is_what_was_learned_and_nothing_else_changed(
    settings: Settings, pipeline, monkeypatch
) -> None:
    lessons = []
    whole = lora.prepare

    def prepared(*asked, **more):
        lessons.append(whole(*asked, **more))
        return lessons[-1]

    monkeypatch.setattr(lora, "prepare", prepared)
    run = train(settings())
    (lesson,) = lessons
    for part in ("text_encoder", "vae", "unet"):
        theirs = getattr(pipeline, part).state_dict()
        # peft puts the layers that it stands beside a level deeper.
        now = getattr(lesson.pipeline, part).state_dict()
        now = {name.replace(".base_layer", ""): values for name, values in now.items()}
        assert theirs.keys() <= now.keys()
        for name, values in theirs.items():
            assert torch.equal(now[name][: len(values)] if values.ndim else now[name], values), name
    start = lesson.vectors(lesson.rows())["<new2>"]
    (saved,) = read_words(run).values()
    assert ((saved - start).abs() > 1e-4).any(1).all()
    average = run.average_weights()
    assert any(v.shape == saved.shape and torch.equal(v, saved) for v in average.values())


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
