"""`marmor personalize custom-diffusion` on a tiny random pipeline."""

import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from marmor.base.errors import UserError
from marmor.base.seeds import torch_stream
from marmor.cli import main
from marmor.data import EMBEDDED
from marmor.personalization import read_projections
from marmor.recipes import custom_diffusion
from marmor.recipes import prior as prior_recipe
from marmor.recipes.concepts import ConceptMethod, word_rate
from marmor.recipes.custom_diffusion import CustomSettings, train
from marmor.recipes.learned import PROJECTIONS, read_words
from marmor.recipes.personalized import load_personalized
from marmor.recipes.text_to_image import load_pipeline
from marmor.training import RunFolder

peers = pytest.importorskip("diffusers")

Settings = Callable[..., CustomSettings]
BOTH = "a photo of a <new1> next to a <new2>"


@pytest.fixture
def settings(pipeline_folder: Path, concepts: tuple[str, ...], tmp_path: Path) -> Settings:
    """Two concepts, three steps, a prior of four pictures each that the pipeline draws."""
    plain = CustomSettings(
        pipeline_folder,
        concepts,
        ("dog", "red"),
        tmp_path / "run",
        steps=3,
        batch=2,
        rate=0.01,
        prior_count=3,
        prior_steps=1,
    )
    return lambda **changes: replace(plain, **changes)


def given(tmp_path: Path) -> Path:
    folder = tmp_path / "kin"
    folder.mkdir()
    for number in range(4):
        Image.new("RGB", (16, 16), (40 * number, 90, 10)).save(folder / f"{number}.png")
    return folder


def _state(pipeline) -> dict[str, torch.Tensor]:
    """Every weight of a pipeline, copied."""
    parts = {name: getattr(pipeline, name) for name in ("text_encoder", "unet", "vae")}
    return {
        f"{part}.{name}": values.clone()
        for part, network in parts.items()
        for name, values in network.state_dict().items()
    }


def test_words_and_projections_change_and_nothing_else_does(
    settings: Settings, pipeline, draw, monkeypatch
) -> None:
    lessons = []
    whole = custom_diffusion.prepare_with_prior

    def prepared(asked: CustomSettings):
        lesson, kin = whole(asked)
        lessons.append((lesson.pipeline, _state(lesson.pipeline)))
        return lesson, kin

    monkeypatch.setattr(custom_diffusion, "prepare_with_prior", prepared)
    run = train(settings(vectors=2))
    ((taught, untaught),) = lessons
    now = _state(taught)
    assert all(torch.equal(untaught[name], now[name]) for name in untaught | now)
    learned = load_personalized(run.path)
    weights = read_projections(run.path / PROJECTIONS)
    before, after = pipeline.unet.state_dict(), learned.unet.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == weights.keys() == set(custom_diffusion.projection_names(pipeline.unet))
    assert all(torch.equal(after[name], weights[name]) for name in weights)
    table = [p.text_encoder.get_input_embeddings().weight for p in (pipeline, learned)]
    known = len(table[0])
    assert torch.equal(table[1][:known], table[0])
    ids = pipeline.tokenizer("dog red")["input_ids"][1:3]
    starts = table[0][ids].repeat_interleave(2, 0)
    assert ((table[1][known:] - starts).abs() > 1e-4).any(1).all()
    for part in ("vae", "text_encoder"):
        mine, theirs = (getattr(p, part).state_dict() for p in (pipeline, learned))
        same = [n for n in mine if "token_embedding" not in n]
        assert all(torch.equal(mine[name], theirs[name]) for name in same)
    assert not torch.equal(draw(learned, "a dog"), draw(pipeline, "a dog"))


def test_a_longer_budget_takes_the_same_prior_and_is_told(settings: Settings) -> None:
    run = train(settings())
    drawn = {path: path.stat().st_mtime_ns for path in (run.path / "prior").rglob("*.png")}
    before = (run.path / PROJECTIONS).read_bytes()
    main(["resume", str(run.path), "--steps", "6"])
    assert run.history()[-1]["step"] == 6
    assert (run.path / PROJECTIONS).read_bytes() != before
    main(["report", str(run.path), "--per-class", "1"])
    told = (run.path / "report.html").read_text()
    assert "--steps 3 " in told
    assert f"--run {run.path} &amp;&amp; marmor resume {run.path} --steps 6" in told
    assert drawn == {path: path.stat().st_mtime_ns for path in (run.path / "prior").rglob("*.png")}


def test_diffusers_draws_the_run_from_its_files(
    settings: Settings, pipeline_folder: Path, draw
) -> None:
    run = train(settings(vectors=2)).path
    theirs = peers.StableDiffusionPipeline.from_pretrained(pipeline_folder)
    theirs.set_progress_bar_config(disable=True)
    theirs.unet.load_attn_procs(str(run), weight_name=PROJECTIONS, _pipeline=theirs)
    for name in ("new1", "new2"):
        theirs.load_textual_inversion(str(run / "embeddings" / name))
    mine = draw(load_personalized(run), BOTH)
    assert torch.allclose(draw(theirs, BOTH), mine, atol=1e-4)


def test_the_loss_is_that_of_photos_plus_the_weighted_one_of_the_prior(
    settings: Settings, tmp_path: Path
) -> None:
    asked = settings(prior=(given(tmp_path),), prior_weight=0.25)
    lesson, prior = custom_diffusion.prepare_with_prior(asked)
    method = custom_diffusion.method_of(asked, lesson, prior)
    (optimizer,) = method.turn.optimizers.parts
    rows = lesson.rows()
    assert rows is not None
    assert [group["lr"] for group in optimizer.param_groups] == [word_rate(rows), asked.rate]
    batch = method.draw(0)
    found = method.loss(method.module, batch)
    photos = {n: v for n, v in batch.items() if not n.startswith("prior.")}
    kin = {n.removeprefix("prior."): v for n, v in batch.items() if n.startswith("prior.")}
    concept, beside = (method._errors(method.module, part).mean() for part in (photos, kin))
    assert torch.allclose(found["loss"], concept + 0.25 * beside)
    assert torch.allclose(found["concept"], concept)
    found["loss"].backward()
    assert all(p.grad is not None and p.grad.any() for p in method.module.parameters())
    alone = custom_diffusion.method_of(settings(prior_weight=0.0), lesson, None)
    assert torch.allclose(alone.loss(alone.module, alone.draw(0))["loss"], concept)


def test_each_photo_comes_with_a_picture_of_its_own_kind_called_by_the_word(
    settings: Settings, tmp_path: Path
) -> None:
    red = tmp_path / "red"
    red.mkdir()
    for number in range(2):
        Image.new("RGB", (16, 16), (250, 0, 0)).save(red / f"{number}.png")
    asked = settings(prior=(given(tmp_path), red), batch=12, prior_prompt=("a {}", "the {}"))
    lesson, prior = custom_diffusion.prepare_with_prior(asked)
    assert prior is not None
    assert prior.counts.tolist() == [4, 2]
    tokenizer = lesson.pipeline.tokenizer
    called = [tokenizer.decode(t, skip_special_tokens=True).strip() for t in prior.tokens]
    assert called == ["a dog", "the dog"] * 2 + ["a red", "the red"]
    batch = custom_diffusion.method_of(asked, lesson, prior).draw(0)
    first = set(lesson.words[0].ids)
    of_one = [bool(first & set(tokens.tolist())) for tokens in batch["tokens"]]
    beside = [bool(t.max() > 0.9) for t in batch["prior.image"][:, 0].flatten(1)]
    assert sum(of_one) == 6
    assert beside == [not one for one in of_one]
    drawn = prior.draw(torch.tensor([0] * 200 + [1] * 200), torch.Generator().manual_seed(0))
    assert set(drawn[:200].tolist()) == {0, 1, 2, 3}
    assert set(drawn[200:].tolist()) == {4, 5}


def test_an_interrupted_run_goes_on_bit_for_bit(settings: Settings, tmp_path, monkeypatch) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    one_sentence = {"prior_prompt": ("a {}",)}  # so that only their noises tell pictures apart
    train(settings(run=straight, **one_sentence))
    drawn, painted = ConceptMethod.draw, prior_recipe._draw
    seen = []

    def stop(method, step: int, turn: int = 0):
        if step == 1:
            signal.raise_signal(signal.SIGINT)
        return drawn(method, step, turn)

    def stop_early(pipeline, folder: Path, *rest):
        seen.append(folder)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return painted(pipeline, folder, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(prior_recipe, "_draw", stop_early)
        with pytest.raises(KeyboardInterrupt):
            train(settings(run=stopped, **one_sentence))
    assert len(list((stopped / "prior").rglob("*.png"))) == 3
    with monkeypatch.context() as patch:
        patch.setattr(ConceptMethod, "draw", stop)
        with pytest.raises(KeyboardInterrupt):
            custom_diffusion.resume(RunFolder.open(stopped))
    assert not (stopped / PROJECTIONS).exists()
    with pytest.raises(UserError, match="yet; go on with the run"):
        load_personalized(stopped)
    main(["resume", str(stopped)])
    mine, theirs = (read_projections(run / PROJECTIONS) for run in (stopped, straight))
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    words = [read_words(RunFolder.open(run)) for run in (stopped, straight)]
    assert all(torch.equal(words[0][name], words[1][name]) for name in ("<new1>", "<new2>"))
    pictures = sorted((straight / "prior").rglob("*.png"))
    assert len(pictures) == 6
    assert len({file.read_bytes() for file in pictures}) == 6
    for file in pictures:
        assert (stopped / file.relative_to(straight)).read_bytes() == file.read_bytes()


def test_the_prior_is_drawn_with_the_steps_and_the_guidance_asked_for(settings: Settings) -> None:
    asked = settings(steps=1, prior_prompt=("a {}",), prior_steps=2, prior_guidance=3.0)
    run = train(asked)
    pipeline = load_pipeline(asked.pipeline)

    def drawn(guidance: float) -> np.ndarray:
        images = pipeline(
            ["a dog"] * 3,
            num_inference_steps=2,
            guidance_scale=guidance,
            generator=[torch_stream(0, "prior", "new1", k) for k in range(3)],
            output_type="np",
        ).images
        return (images * 255).round().astype(np.uint8)

    kept = np.stack(
        [np.array(Image.open(run.path / "prior/new1" / f"000{k}.png")) for k in range(3)]
    )
    assert np.array_equal(kept, drawn(3.0))
    assert not np.array_equal(kept, drawn(7.5))


def test_a_prior_or_a_pipeline_that_changed_stops_a_resume(
    settings: Settings, tmp_path: Path
) -> None:
    folder, kin = tmp_path / "copied", given(tmp_path)
    shutil.copytree(settings().pipeline, folder)
    run = train(settings(prior=(kin,), pipeline=folder, steps=1))
    custom_diffusion.resume(run)
    Image.new("RGB", (16, 16), (9, 9, 9)).save(kin / "0.png")
    with pytest.raises(UserError, match="the prior changed since"):
        custom_diffusion.resume(run)
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace("0.012", "0.013"))
    with pytest.raises(UserError, match=r"pipeline .* changed since"):
        custom_diffusion.resume(run)
    shutil.rmtree(folder)
    with pytest.raises(UserError, match="is not there any more"):
        load_personalized(run.path)


def test_a_drawn_prior_that_changed_stops_a_resume(settings: Settings, interrupted) -> None:
    with interrupted(ConceptMethod, 1), pytest.raises(KeyboardInterrupt):
        train(settings())
    run = RunFolder.open(settings().run)
    Image.new("RGB", (16, 16), (9, 9, 9)).save(run.path / "prior" / "new1" / "0000.png")
    with pytest.raises(UserError, match="the prior changed since"):
        custom_diffusion.resume(run)


def test_a_folder_called_like_an_embedded_set_is_the_folder(
    settings: Settings, tmp_path: Path, monkeypatch
) -> None:
    kin = given(tmp_path)
    (tmp_path / "one").rename(tmp_path / "faces")
    kin.rename(tmp_path / "digits")
    assert {"faces", "digits"} <= EMBEDDED.keys()
    monkeypatch.chdir(tmp_path)
    asked = settings(concept=("<new1>=faces",), word=("dog",), prior=(Path("digits"),))
    lesson, prior = custom_diffusion.prepare_with_prior(asked)
    assert prior is not None
    assert (len(lesson.photos.images), len(prior.images)) == (3, 4)


def test_the_command_takes_a_prior_for_each_concept(
    settings: Settings, tmp_path: Path, capsys
) -> None:
    asked, kin = settings(), str(given(tmp_path))
    words = ["--pipeline", str(asked.pipeline), "--run", str(asked.run), "--steps", "1"]
    for concept, word in zip(asked.concept, asked.word, strict=True):
        words += ["--concept", concept, "--word", word, "--prior", kin]
    main(["personalize", "custom-diffusion", *words, "--prior-prompt", "the {}"])
    assert "learned: " in capsys.readouterr().out
    told = RunFolder.open(asked.run).config["settings"]
    assert told["prior"]["count"] == 8
    assert told["asked"]["prior"] == [kin, kin]
    assert told["asked"]["prior_prompt"] == ["the {}"]
    assert not (asked.run / "prior").exists()


WRONG = [
    ({"prior": (Path("a"),) * 3}, "--prior names 3 folders for 2 concepts"),
    ({"prior": (Path("nowhere"),)}, "nowhere does not exist"),
    ({"prior_prompt": ("a dog",)}, "should hold {}"),
    ({"prior_prompt": ("a {} " + "next " * 40,)}, "tokens long"),
    ({"prior_count": 0}, "--prior-count must be at least 1"),
    ({"prior_steps": 0}, "--prior-steps must be at least 1"),
    ({"prior_weight": -1.0}, "--prior-weight must be a number of at least 0"),
    ({"prior_guidance": -1.0}, "--prior-guidance must be a number of at least 0"),
    ({"rate": float("nan")}, "--rate must be a number of at least 0"),
]


@pytest.mark.parametrize(("changes", "wrong"), WRONG)
def test_wishes_that_cannot_be_are_one_sentence(changes, wrong, settings: Settings) -> None:
    asked = settings(**changes)
    with pytest.raises(UserError, match=wrong):
        train(asked)
    assert not asked.run.exists()
