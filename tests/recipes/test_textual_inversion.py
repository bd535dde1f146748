"""`marmor personalize textual-inversion` on a tiny random pipeline."""

import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from marmor.base.errors import UserError
from marmor.base.pixels import to_unit
from marmor.cli import main
from marmor.personalization import read_embedding
from marmor.recipes import textual_inversion
from marmor.recipes.concepts import ConceptMethod, prepare
from marmor.recipes.personalized import load_personalized
from marmor.recipes.textual_inversion import InversionSettings, method_of, train
from marmor.training import RunFolder

Settings = Callable[..., InversionSettings]


@pytest.fixture
def settings(pipeline_folder: Path, concepts: tuple[str, ...], tmp_path: Path) -> Settings:
    """Two concepts of three photos each, four steps."""
    plain = InversionSettings(pipeline_folder, concepts, ("dog", "red"), tmp_path / "run", steps=4)
    return lambda **changes: replace(plain, **changes)


def learned(run: Path, name: str) -> torch.Tensor:
    word, vectors = read_embedding(run / "embeddings" / name / "learned_embeds.safetensors")
    assert word == f"<{name}>"
    return vectors


def table(pipeline) -> torch.Tensor:
    return pipeline.text_encoder.get_input_embeddings().weight.detach()


def test_both_words_learn_and_diffusers_draws_them(settings: Settings, pipeline, draw) -> None:
    before = draw(pipeline, "a photo of a dog")
    run = train(settings(vectors=2)).path
    ids = pipeline.tokenizer("dog red")["input_ids"][1:3]
    for name, start in zip(("new1", "new2"), table(pipeline)[ids], strict=True):
        moved = (learned(run, name) - start).abs()
        assert moved.shape == (2, 32)
        assert ((moved > 1e-4).any(1) & (moved < 0.1).all(1)).all()
        pipeline.load_textual_inversion(str(run / "embeddings" / name))
    assert torch.equal(draw(pipeline, "a photo of a dog"), before)
    assert not torch.equal(draw(pipeline, "a photo of a <new1> next to a <new2>"), before)


def test_an_interrupted_run_goes_on_bit_for_bit(settings: Settings, tmp_path, monkeypatch) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    train(settings(run=straight))
    drawn = ConceptMethod.draw

    def stop(method, step: int, turn: int = 0):
        if step == 1:
            signal.raise_signal(signal.SIGINT)
        return drawn(method, step, turn)

    with monkeypatch.context() as patch:
        patch.setattr(ConceptMethod, "draw", stop)
        with pytest.raises(KeyboardInterrupt):
            train(settings(run=stopped))
    checkpoint = RunFolder.open(stopped).checkpoints.latest()
    assert checkpoint is not None
    assert checkpoint.name == "step-000002"
    assert not (stopped / "embeddings").exists()
    main(["resume", str(stopped)])
    for name in ("new1", "new2"):
        assert torch.equal(learned(stopped, name), learned(straight, name))


def test_a_word_that_is_not_learned_yet_gets_a_longer_budget(
    settings: Settings, interrupted
) -> None:
    run = train(settings())
    before = learned(run.path, "new1")
    main(["resume", str(run.path), "--steps", "8"])
    assert run.history()[-1]["step"] == 8
    assert not torch.equal(learned(run.path, "new1"), before)
    with interrupted(ConceptMethod, 9), pytest.raises(SystemExit):
        main(["resume", str(run.path), "--steps", "12"])
    with pytest.raises(UserError, match="has no embeddings"):  # they were those of eight steps
        load_personalized(run.path)


def test_words_move_by_a_share_of_their_length(settings: Settings, pipeline, tmp_path) -> None:
    def rate(encoder_scale: float) -> float:
        with torch.no_grad():
            pipeline.text_encoder.get_input_embeddings().weight *= encoder_scale
        folder = tmp_path / str(encoder_scale)
        pipeline.save_pretrained(folder)
        (optimizer,) = method_of(settings(pipeline=folder)).turn.optimizers.parts
        return optimizer.param_groups[0]["lr"]

    small, large = rate(1.0), rate(3.0)
    assert large == pytest.approx(3 * small)
    # One rate for all, also where they start at words of unlike lengths.
    ids = pipeline.tokenizer("dog red", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        pipeline.text_encoder.get_input_embeddings().weight[ids[0]] *= 5
    unlike = rate(1.5)
    entries = table(pipeline)[ids].square().mean().sqrt().item()
    assert unlike == pytest.approx(0.35 * entries)


def test_a_random_start_is_as_long_as_words_are_and_the_words_own(
    settings: Settings, pipeline
) -> None:
    asked = settings(start="random", word=(), vectors=2)
    words, again, other = (prepare(each).rows() for each in (asked, asked, replace(asked, seed=1)))
    assert words is not None
    assert again is not None
    assert other is not None
    assert torch.equal(words.rows, again.rows)
    assert not torch.equal(words.rows, other.rows)
    said = pipeline.tokenizer("a photo of a object", add_special_tokens=False)["input_ids"]
    lengths = table(pipeline)[said].norm(dim=1)
    assert abs(lengths.mean() - table(pipeline).norm(dim=1).mean()) > 1e-3
    torch.testing.assert_close(words.rows.detach().norm(dim=1), lengths.mean().expand(4))
    assert torch.linalg.matrix_rank(words.rows) == 4
    alone = prepare(replace(asked, concept=asked.concept[1:])).rows()
    assert alone is not None
    assert torch.equal(alone.rows, words.rows[2:])


def test_the_command_starts_at_random_and_gives_the_same_again(
    settings: Settings, tmp_path: Path
) -> None:
    asked = settings()
    for run in ("first", "second"):
        words = ["--pipeline", str(asked.pipeline), "--run", str(tmp_path / run), "--steps", "2"]
        words += ["--concept", asked.concept[0], "--start", "random", "--no-mirror"]
        main(["personalize", "textual-inversion", *words])
    assert torch.equal(*(learned(tmp_path / run, "new1") for run in ("first", "second")))


def test_photos_are_called_as_the_templates_say_until_they_change(
    settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "said.txt"
    file.write_text("a {}\na red {}\n")
    asked = settings(templates=str(file))
    lesson = prepare(asked)
    assert lesson.tokens.shape[:2] == (2, 2)
    said = [lesson.pipeline.tokenizer.decode(ids, True) for ids in lesson.tokens[0]]
    assert [text.replace(" ", "") for text in said] == ["a<new1>", "ared<new1>"]
    run = train(asked)
    file.write_text("a {}\n")
    with pytest.raises(UserError, match=r"templates .* changed since"):
        textual_inversion.resume(run)
    with pytest.raises(UserError, match="unknown list of templates"):
        train(settings(templates="no-such", run=tmp_path / "none"))


def test_photos_are_mirrored_unless_it_is_refused(settings: Settings) -> None:
    ramp = torch.linspace(0, 255, 16).to(torch.uint8).expand(6, 3, 16, 16)
    for mirror, least in ((True, 1), (False, 0)):
        method = method_of(settings(batch=6, mirror=mirror))
        lesson = method.lesson
        shown = replace(lesson.photos, images=replace(lesson.photos.images, images=ramp))
        method.lesson = replace(lesson, photos=shown)
        seen = torch.cat([method.draw(step)["image"] for step in range(4)])
        turned = (seen[:, 0, 0, -1] < seen[:, 0, 0, 0]).sum().item()
        assert turned > least if mirror else turned == 0


def test_photos_are_cropped_no_closer_than_is_asked(settings: Settings) -> None:
    method = method_of(settings(batch=6, mirror=False, crop=1.0))
    photos = to_unit(method.lesson.photos.images.images)
    for image in method.draw(0)["image"]:
        assert any(torch.allclose(image, photo, atol=1e-4) for photo in photos)
    close = method_of(settings(batch=6, mirror=False)).draw(0)["image"]
    assert not torch.allclose(close, method.draw(0)["image"], atol=1e-2)
    for share in (0.0, 1.5):
        with pytest.raises(UserError, match="--crop is a share"):
            train(settings(crop=share))


def test_what_is_kept_is_the_average_of_the_last_checkpoint(settings: Settings) -> None:
    run = train(settings(vectors=2))
    (average,) = (v for name, v in run.average_weights().items() if name.endswith("rows.rows"))
    kept = torch.cat([learned(run.path, name) for name in ("new1", "new2")])
    assert torch.equal(kept, average)


def test_photos_that_changed_stop_a_resume(settings: Settings, tmp_path: Path) -> None:
    run = train(settings())
    Image.new("RGB", (24, 20), (0, 255, 0)).save(tmp_path / "one" / "0.png")
    with pytest.raises(UserError, match="another fingerprint"):
        textual_inversion.resume(run)


def test_a_step_sees_each_photo_with_the_words_of_its_concept(settings: Settings) -> None:
    method = method_of(settings(batch=6))
    words = method.lesson.words
    batch = method.draw(0)
    reds = batch["image"][:, 0].mean((1, 2)) > 0
    asked = [set(tokens.tolist()) for tokens in batch["tokens"]]
    first, second = ({i for i, ids in enumerate(asked) if set(w.ids) <= ids} for w in words)
    assert first == set(reds.nonzero().flatten().tolist())
    assert second == set((~reds).nonzero().flatten().tolist())
    assert len(first) == len(second) == 3
    again, later = method.draw(0), method.draw(1)
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    assert not torch.equal(batch["noise"], later["noise"])


def test_the_loss_falls_and_the_word_comes_to_mean_its_photos(settings: Settings) -> None:
    method = method_of(settings(batch=6))
    fixed = method.draw(0)
    losses = []
    for _ in range(15):
        method.module.zero_grad()
        loss = method.turn.loss(method.module, fixed)["loss"]
        loss.backward()
        method.turn.optimizers.parts[0].step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(p.grad is None for p in method.lesson.pipeline.unet.parameters())
    assert all(p.grad is None for p in method.lesson.pipeline.text_encoder.parameters())


WRONG = [
    ({"concept": ("photos",)}, "should be a new word and its photos"),
    ({"concept": ("<a>=one", "<a>=two")}, "names the word '<a>' twice"),
    ({"concept": ("<a/b>=one",), "word": ("dog",)}, "names a folder too"),
    ({"word": ("dog", "red", "photo")}, "--word names 3 words for 2 concepts"),
    (
        {"word": ()},
        "cannot start at 'object', which is 6 tokens .* with --vectors 1; name a --word",
    ),
    ({"word": ("cat",)}, "'cat', which is 3 tokens"),
    ({"concept": ()}, "nothing to learn"),
    ({"concept": ("<..>=one",), "word": ("dog",)}, "names a folder too"),
    ({"vectors": 0}, "--vectors must be at least 1"),
    ({"batch": 0}, "--batch must be at least 1"),
    ({"vectors": 30}, "choose fewer --vectors"),
    ({"steps": None, "minutes": -1.0}, "--minutes must be a number above 0"),
    ({"pipeline": Path("nowhere")}, "nowhere does not exist; name a StableDiffusionPipeline"),
]


@pytest.mark.parametrize(("changes", "wrong"), WRONG)
def test_wishes_that_cannot_be_are_one_sentence(changes, wrong, settings: Settings) -> None:
    asked = settings(**changes)
    with pytest.raises(UserError, match=wrong):
        train(asked)
    assert not asked.run.exists()


def test_concepts_are_asked_for_one_by_one(settings: Settings, tmp_path: Path, capsys) -> None:
    asked = settings()
    words = ["--pipeline", str(asked.pipeline), "--run", str(tmp_path / "told"), "--steps", "1"]
    for concept, word in zip(asked.concept, asked.word, strict=True):
        words += ["--concept", concept, "--word", word]
    main(["personalize", "textual-inversion", *words])
    assert "learning <new1>, <new2> from 6 photos" in capsys.readouterr().out
    assert len(list((tmp_path / "told" / "embeddings").iterdir())) == 2


def test_folders_without_photos_are_told(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("no image")
    for folder in ("empty", "text"):
        concept = (f"<new1>={tmp_path / folder}",)
        with pytest.raises(UserError, match=folder):
            train(settings(concept=concept, word=("dog",)))


def test_names_that_are_taken_or_would_be_split_are_told(settings: Settings) -> None:
    for name, wrong in (("<|endoftext|>", "already; choose another"), ("new1", "would be split")):
        asked = settings(concept=(settings().concept[0].replace("<new1>", name),), word=("dog",))
        with pytest.raises(UserError, match=wrong):
            train(asked)
        assert not asked.run.exists()


def test_one_photo_is_too_few(settings: Settings, tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / "one" / f"{number}.png").unlink()
    with pytest.raises(UserError, match="one holds one photo"):
        train(settings())


def edited(folder: Path, **values) -> None:
    index = folder / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), **values}))


def unlinked(part: Path) -> None:
    for file in part.glob("*.safetensors"):
        file.unlink()


def predicting(folder: Path, kind: str) -> None:
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "prediction_type": kind}))


BROKEN = [
    (lambda folder: shutil.rmtree(folder / "tokenizer"), "has no tokenizer"),
    (lambda folder: (folder / "tokenizer" / "tokenizer.json").unlink(), "no tokenizer/vocab.json"),
    (lambda folder: edited(folder, unet=None), "has no unet;"),
    (lambda folder: edited(folder, vae=[None, None]), "has no vae;"),
    (lambda folder: edited(folder, _class_name="FluxPipeline"), "holds a FluxPipeline"),
    (lambda folder: (folder / "unet" / "config.json").unlink(), "has no unet/config.json"),
    (
        lambda folder: unlinked(folder / "text_encoder"),
        "no weights in text_encoder/, .safetensors or",
    ),
    (
        lambda folder: (folder / "unet" / "config.json").write_text("{"),
        "cannot be read by diffusers",
    ),
    (lambda folder: predicting(folder, "flow"), "predicts 'flow'"),
]


@pytest.mark.parametrize(("change", "wrong"), BROKEN)
def test_pipelines_that_lack_something_are_told(
    change, wrong, settings: Settings, tmp_path
) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(settings().pipeline, folder)
    change(folder)
    with pytest.raises(UserError, match=wrong) as caught:
        train(settings(pipeline=folder))
    assert "\n" not in str(caught.value)


def test_the_run_is_a_pipeline_that_knows_its_words(settings: Settings, pipeline, draw) -> None:
    run = train(settings(vectors=2)).path
    for name in ("new1", "new2"):
        pipeline.load_textual_inversion(str(run / "embeddings" / name))
    prompt = "a photo of a <new1> next to a <new2>"
    assert torch.equal(draw(load_personalized(run), prompt), draw(pipeline, prompt))


def test_a_pipeline_that_changed_stops_a_resume(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "copied"
    shutil.copytree(settings().pipeline, folder)
    run = train(settings(pipeline=folder))
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace("0.012", "0.013"))
    for use in (lambda: textual_inversion.resume(run), lambda: load_personalized(run.path)):
        with pytest.raises(UserError, match=r"pipeline .* changed since"):
            use()


def test_a_run_without_words_yet_is_told(settings: Settings, tmp_path: Path) -> None:
    run = train(settings())
    shutil.rmtree(run.path / "embeddings")
    with pytest.raises(UserError, match="has no embeddings/new1"):
        load_personalized(run.path)
