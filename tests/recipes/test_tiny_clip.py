"""`marmor train tiny-clip` on a few small pictures."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from marmor.base.errors import UserError
from marmor.cli import main
from marmor.data import alike, epoch_order
from marmor.data.scenes import UNSEEN, write_captioned
from marmor.language import (
    ClipSizes,
    busiest,
    clip_tokenizer,
    contrastive_loss,
    features_of_patches,
    load_hub_clip,
)
from marmor.recipes import captioned_data, folders, tiny_clip
from marmor.recipes.captioned_data import CaptionWishes, load_pictures
from marmor.recipes.exporting import export
from marmor.recipes.text_image import ModelWishes, TextImage
from marmor.recipes.tiny_clip import Contrast, TinyClipSettings, train
from marmor.training import RunFolder

pytest.importorskip("transformers")

TINY = ClipSizes(vision=(32, 1), text=(32, 1), space=16, patch=4, context=32)
CLASSES = ("oak_tree", "pine_tree", "cat", "dog", "car")
Settings = Callable[..., TinyClipSettings]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("captioned") / "scenes"
    write_captioned(24, 1, path, seed=0, side=16, watch=lambda share: None)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures of each of five classes, a grey level a class."""
    path = tmp_path_factory.mktemp("photos")
    for place, name in enumerate(CLASSES):
        for number in range(4):
            picture = Image.new("RGB", (16, 16), (50 * place, 50 * place, 50 * place))
            picture.putpixel((number, 0), (255, 0, 0))
            picture.save(path / f"{name}_{number}.png")
    return path


@pytest.fixture
def settings(scenes: Path, tmp_path: Path) -> Settings:
    plain = TinyClipSettings(
        data=str(scenes), run=tmp_path / "run", steps=3, batch=8, precision="fp32"
    )
    return lambda **changes: replace(plain, **changes)


def embedded(folder: Path) -> torch.Tensor:
    pixels = torch.arange(3 * 256).view(1, 3, 16, 16).remainder(256).to(torch.uint8)
    clip = load_hub_clip(folder)
    with torch.inference_mode():
        return torch.cat([clip.images(pixels), clip.texts(["a red cube", "two objects"])])


def test_the_folder_is_read_by_transformers_and_gives_the_same(settings: Settings) -> None:
    from transformers import AutoModel, AutoProcessor

    run = train(settings(), TINY)
    folder = run.path / "clip"
    model = AutoModel.from_pretrained(folder).eval()
    kept = run.average_weights()
    assert kept.keys() == model.state_dict().keys()
    assert all(torch.equal(kept[name], values) for name, values in model.state_dict().items())
    processor = AutoProcessor.from_pretrained(folder)
    picture = Image.effect_noise((16, 16), 80).convert("RGB")
    asked = processor(text=["a red cube"], images=picture, return_tensors="pt")
    clip = load_hub_clip(folder)
    pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    with torch.inference_mode():
        theirs = model(**asked).logits_per_image
        pictures = clip.images(pixels.view(16, 16, 3).permute(2, 0, 1)[None])
        ours = clip.facts.scale * pictures @ clip.texts(["a red cube"]).T
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-5)


def test_an_export_is_half_as_large_and_reads_alike(
    settings: Settings, tmp_path, monkeypatch
) -> None:
    from safetensors.torch import load_file
    from transformers import AutoModel

    run, out = train(settings(), TINY).path, tmp_path / "weights" / "tiny-clip"
    main(["export", str(run), "--out", str(out), "--note", "of scenes"])
    halves = load_file(out / "clip" / "model.safetensors")
    assert {v.dtype for v in halves.values() if v.is_floating_point()} == {torch.float16}
    kept = RunFolder.open(run).average_weights()
    theirs = AutoModel.from_pretrained(out / "clip", dtype=torch.float32).state_dict()
    assert all(torch.equal(theirs[name], kept[name].half().float()) for name in theirs)
    monkeypatch.setattr(folders, "WEIGHTS", tmp_path / "weights")
    assert folders.note_of("pretrained:tiny-clip") == "of scenes"
    shipped = TextImage(ModelWishes(model=Path("pretrained:tiny-clip")))
    assert shipped.fingerprint == TextImage(ModelWishes(model=out)).fingerprint
    assert {p.dtype for p in shipped.model.model.parameters()} == {torch.float32}
    torch.testing.assert_close(
        embedded(shipped.wishes.model), embedded(run / "clip"), atol=5e-3, rtol=0
    )
    main(["list", "--runs", str(tmp_path / "none")])
    with pytest.raises(UserError, match="knows no guidance"):
        export(run, tmp_path / "more", guidance=1.0)


def test_a_folder_of_another_recipe_is_no_clip(settings: Settings, tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "digits", "digits", {}).path
    with pytest.raises(UserError, match="is a run of the recipe 'digits', not of 'tiny-clip'"):
        TextImage(ModelWishes(model=run))
    with pytest.raises(UserError, match="'digits-two-domains' or"):
        export(RunFolder.create(tmp_path / "words", "textual-inversion", {}).path, tmp_path / "out")
    with pytest.raises(UserError, match="unknown shipped weights"):
        TextImage(ModelWishes(model=Path("pretrained:no-such")))
    unfinished = RunFolder.create(tmp_path / "begun", "tiny-clip", {}).path
    with pytest.raises(UserError, match="has no clip yet; go on with it"):
        TextImage(ModelWishes(model=unfinished))


def test_an_interrupted_run_goes_on_bit_for_bit(
    settings: Settings, tmp_path, interrupted: Callable[[type, int], None]
) -> None:
    straight = train(settings(run=tmp_path / "straight"), TINY).path
    with interrupted(Contrast, 1), pytest.raises(KeyboardInterrupt):
        train(settings(run=tmp_path / "stopped"), TINY)
    stopped = tmp_path / "stopped"
    assert not (stopped / "clip").exists()
    main(["resume", str(stopped)])
    assert torch.equal(embedded(stopped / "clip"), embedded(straight / "clip"))
    for name in ("model.safetensors", "vocab.json", "merges.txt", "config.json"):
        one, other = (run / "clip" / name for run in (straight, stopped))
        assert one.read_bytes() == other.read_bytes()


def test_a_longer_budget_changes_the_model(settings: Settings, interrupted) -> None:
    run = train(settings(), TINY)
    before = embedded(run.path / "clip")
    main(["resume", str(run.path), "--steps", "5"])
    assert run.history()[-1]["step"] == 5
    assert not torch.equal(embedded(run.path / "clip"), before)
    with interrupted(Contrast, 6), pytest.raises(SystemExit):
        main(["resume", str(run.path), "--steps", "8"])
    assert not (run.path / "clip").exists()  # it was that of five steps


def test_a_step_pairs_each_picture_with_one_of_its_own_sentences(settings: Settings) -> None:
    data = load_pictures(settings(), 0).seen
    tokenizer = clip_tokenizer(data.sentences, TINY.context)
    method = Contrast(data, tokenizer, TINY, batch=24, seed=0)
    batch, again, later = method.draw(0), method.draw(0), method.draw(1)
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    assert not torch.equal(batch["tokens"], later["tokens"])
    assert batch["tokens"].shape[:2] == (24, 1)
    for place, tokens in zip(
        epoch_order(0, 24, 24, 0).tolist(), batch["tokens"][:, 0], strict=True
    ):
        said = {tuple(method.tokens[k].tolist()) for k in data.captions[place].tolist()}
        assert tuple(tokens.tolist()) in said
    rows = torch.cat([method.draw(step)["tokens"][:, 0] for step in range(8)])
    assert len(rows.unique(dim=0)) > 3 * len(data)


def test_rendered_scenes_have_contraries_that_pictures_must_not_take(settings: Settings) -> None:
    data = tiny_clip.pictures_of(settings(data=captioned_data.SCENES, count=24, size=16)).seen
    assert data.contraries is not None
    tokenizer = clip_tokenizer(data.sentences, TINY.context)
    method = Contrast(data, tokenizer, TINY, batch=24, seed=0)
    batch = method.draw(0)
    for row, place in enumerate(epoch_order(0, 24, 24, 0).tolist()):
        pairs = zip(data.captions[place].tolist(), data.contraries[place].tolist(), strict=True)
        both = {
            tuple(map(tuple, (method.tokens[a].tolist(), method.tokens[b].tolist())))
            for a, b in pairs
        }
        assert tuple(map(tuple, batch["tokens"][row].tolist())) in both
    assert "kept" not in batch
    # Each of several processes gets some of the rows.
    scalars = method.loss(method.module, {name: values[:8] for name, values in batch.items()})
    clip = method.module
    with torch.inference_mode():
        images = clip.get_image_features(pixel_values=batch["image"][:8]).pooler_output
        tokens = torch.cat([batch["tokens"][:8, 0], batch["tokens"][:8, 1]])
        texts = clip.get_text_features(input_ids=tokens).pooler_output
        said = torch.cat([batch["meanings"][:8, 0], batch["meanings"][:8, 1]])
        true = alike(batch["truths"][:8], said)
        spared = alike(batch["unasked"][:8], said)
        expected = contrastive_loss(
            *(F.normalize(each, dim=1) for each in (images, texts)),
            clip.logit_scale.exp(),
            true | spared,
        )
    assert true[:, 8:].sum() < 8
    assert spared.any()
    torch.testing.assert_close(scalars["loss"], expected)


def test_most_steps_on_scenes_read_the_busiest_patches_alone(settings: Settings) -> None:
    data = tiny_clip.pictures_of(settings(data=captioned_data.SCENES, count=24, size=32)).seen
    tokenizer = clip_tokenizer(data.sentences, TINY.context)
    method = Contrast(data, tokenizer, TINY, batch=24, seed=0)
    drawn = [method.draw(step) for step in range(8)]
    assert ["kept" in batch for batch in drawn] == 2 * [False, True, True, True]
    batch = drawn[1]
    count = round(0.3 * 64)
    assert torch.equal(batch["kept"], busiest(batch["image"], 4, count))
    module = method.module.eval()
    with torch.inference_mode():
        some = method.loss(module, batch)["loss"]
        whole = method.loss(module, {n: v for n, v in batch.items() if n != "kept"})["loss"]
        images = features_of_patches(module, batch["image"], batch["kept"])
        method.module.get_image_features = lambda pixel_values: SimpleNamespace(
            pooler_output=images
        )
        told = method.loss(module, {n: v for n, v in batch.items() if n != "kept"})["loss"]
    assert some != whole
    torch.testing.assert_close(some, told)
    photos = Contrast(load_pictures(settings(), 0).seen, tokenizer, TINY, batch=8, seed=0)
    assert "kept" not in photos.draw(1)


def test_the_loss_falls_and_the_scale_stays_in_bounds(settings: Settings) -> None:
    data = load_pictures(settings(), 0).seen
    method = Contrast(data, clip_tokenizer(data.sentences, 32), TINY, batch=24, seed=0)
    fixed = method.draw(0)
    losses = []
    for _ in range(25):
        method.module.zero_grad()
        loss = method.turn.loss(method.module, fixed)["loss"]
        loss.backward()
        for part in method.turn.optimizers.parts:
            part.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    method.module.logit_scale.data.fill_(7.0)
    method.turn.after(method.module, {})
    assert method.module.logit_scale.exp().item() == pytest.approx(100)


def test_held_out_classes_are_reported_and_never_learned_from(
    photos: Path, settings: Settings
) -> None:
    asked = settings(data=str(photos), held_out_classes="pine tree, Dog")
    seen, held_out = load_pictures(asked, 0)
    assert held_out is not None
    assert held_out.names == ("dog", "pine_tree")
    assert len(seen) == 12
    assert len(held_out.images) == 8
    said = " ".join(seen.sentences)
    assert "oak tree" in said
    assert "dog" not in said
    assert "pine" not in said
    levels = {int(image[0, 8, 8]) for image in held_out.images.images}
    places = sorted(CLASSES)
    shown = {places.index("dog"), places.index("pine_tree")}
    assert levels == {50 * CLASSES.index(places[k]) for k in shown}
    assert all(
        CLASSES[int(image[0, 8, 8]) // 50] == held_out.names[k]
        for image, k in zip(held_out.images.images, held_out.truth.tolist(), strict=True)
    )
    run = train(asked, TINY)
    told = json.loads((run.path / "summary.json").read_text())
    assert told["held_out.pictures"] == 8
    assert told["held_out.chance"] == 0.5
    assert told["held_out.among"] == ["dog", "pine_tree"]
    assert 0 <= told["held_out.top1.low"] <= told["held_out.top1"] <= 1


def test_as_many_classes_as_asked_are_held_out_by_the_seed(photos: Path) -> None:
    asked = CaptionWishes(data=str(photos), held_out_classes="2")
    first, again, other = (load_pictures(asked, seed).held_out for seed in (0, 0, 3))
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.names == again.names
    assert len(first.names) == 2
    assert first.names != other.names


def test_rendered_scenes_are_the_default_and_keep_combinations_out(monkeypatch) -> None:
    monkeypatch.setattr(captioned_data, "EACH", 2)
    seen, held_out = load_pictures(CaptionWishes(count=5, size=16), 0)
    assert len(seen) == 5
    assert held_out is not None
    assert [held_out.names[k] for k in held_out.truth.tolist()[::2]] == list(UNSEEN)
    assert len(held_out.names) == 24
    assert not any(name in " ".join(seen.sentences) for name in UNSEEN)


def test_scenes_that_changed_stop_a_resume(settings: Settings, scenes: Path, tmp_path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(scenes, copy)
    run = train(settings(data=str(copy)), TINY)
    captions = json.loads((copy / "captions.json").read_text())
    captions["000000.png"][0] = "something else"
    (copy / "captions.json").write_text(json.dumps(captions))
    with pytest.raises(UserError, match="another fingerprint"):
        tiny_clip.resume(RunFolder.open(run.path))


WRONG = [
    ({"batch": 1}, "--batch must be at least 2"),
    ({"minutes": 1.0}, "one unit"),
    ({"data": "nowhere"}, "does not exist"),
    ({"held_out_classes": "2"}, "leave --labels and --held-out-classes out"),
    ({"size": 20}, "multiple of 8"),
]


@pytest.mark.parametrize(("changes", "wrong"), WRONG)
def test_wishes_that_cannot_be_are_one_sentence(changes, wrong, settings: Settings) -> None:
    asked = settings(**changes)
    with pytest.raises(UserError, match=wrong):
        train(asked, TINY)
    assert not asked.run.exists()


@pytest.mark.parametrize(
    ("held", "wrong"),
    [
        ("4", "fewer than two classes"),
        ("oak tree,pin tree", "did you mean 'pine tree'"),
    ],
)
def test_classes_that_cannot_be_held_out_are_told(held: str, wrong: str, photos: Path) -> None:
    with pytest.raises(UserError, match=wrong):
        load_pictures(CaptionWishes(data=str(photos), held_out_classes=held), 0)


def test_pictures_without_words_are_told(tmp_path: Path) -> None:
    for number in range(2):
        Image.new("RGB", (16, 16)).save(tmp_path / f"plain{'ab'[number]}.png")
    with pytest.raises(UserError, match=r"neither by captions\.json nor by classes"):
        load_pictures(CaptionWishes(data=str(tmp_path)), 0)
