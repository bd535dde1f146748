"""Logits are those of transformers and open_clip, on tiny networks with random weights."""

import json
from copy import deepcopy
from pathlib import Path

import open_clip
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel, SiglipModel

from marmor.base.errors import UserError
from marmor.data import Fit
from marmor.language import Clip, is_openai, logits, open_clip_model
from marmor.recipes.text_image import ModelWishes, load

SENTENCES = ["a photo of a cat.", "a dog", "two very small red cubes and a ball"]


def _pictures(height: int = 32, width: int = 32) -> Tensor:
    stream = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, 256, (4, 3, 6, 6), generator=stream, dtype=torch.uint8).float()
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")
    return smooth.round().clamp(0, 255).byte()


@torch.inference_mode()
def _logits(model: Clip, pictures: Tensor) -> Tensor:
    return logits(model.facts, model.images(pictures), model.texts(SENTENCES))


@pytest.mark.parametrize(("name", "family"), [("clip", CLIPModel), ("siglip", SiglipModel)])
@torch.inference_mode()
def test_a_folder_gives_the_logits_of_transformers(
    name: str, family: type, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(f"tiny_{name}")
    pictures = _pictures()
    tokens = AutoTokenizer.from_pretrained(folder)(
        SENTENCES, padding="max_length", max_length=40, return_tensors="pt"
    )
    seen = AutoImageProcessor.from_pretrained(folder)(images=pictures, return_tensors="pt")
    wanted = family.from_pretrained(folder).eval()(**tokens, **seen).logits_per_image
    found = _logits(load(ModelWishes(model=folder)), pictures)
    assert wanted.std() > 0.1
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "size"), [("clip", (48, 48)), ("siglip", (40, 70))])
def test_pictures_are_prepared_as_the_folder_says(
    name: str, size: tuple[int, int], request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(f"tiny_{name}")
    pictures = _pictures(*size)
    wanted = AutoImageProcessor.from_pretrained(folder)(images=pictures, return_tensors="pt")
    sight = load(ModelWishes(model=folder)).facts.sight
    found = sight.normalise(Fit(sight.crop, sight.bicubic)(pictures, sight.side))
    level = (
        1 / 255 / min(sight.std)
    )  # both round to grey levels, the library after each of two passes
    assert (found - wanted["pixel_values"]).abs().max() < 1.01 * level
    assert (found - wanted["pixel_values"]).abs().mean() < 0.25 * level


ARCHITECTURE = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


def _random(quick: bool) -> open_clip.CLIP:
    torch.manual_seed(2)
    model = open_clip.CLIP(**ARCHITECTURE, quick_gelu=quick).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    return model


@torch.inference_mode()
def _open_clip_logits(model: open_clip.CLIP, pictures: Tensor) -> Tensor:
    prepare = open_clip.image_transform(32, is_train=False)
    seen = torch.stack([prepare(Image.fromarray(p.permute(1, 2, 0).numpy())) for p in pictures])
    tokens = open_clip.SimpleTokenizer(context_length=model.context_length)(SENTENCES)
    return model(seen, tokens)[0] @ model(seen, tokens)[1].T * model.logit_scale.exp()


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_checkpoint_gives_the_logits_of_open_clip(
    quick: bool, wrapped: bool, tmp_path: Path
) -> None:
    model = _random(quick)
    state = model.state_dict()
    if wrapped:  # as open_clip's training saves them
        state = {"epoch": 3, "state_dict": {f"module.{name}": v for name, v in state.items()}}
    torch.save(state, tmp_path / "weights.pt")
    sizes = ARCHITECTURE | {"quick_gelu": quick}
    content = {"model_cfg": sizes, "preprocess_cfg": {}} if wrapped else sizes
    (tmp_path / "sizes.json").write_text(json.dumps(content))
    wishes = ModelWishes(model=tmp_path / "weights.pt", architecture=str(tmp_path / "sizes.json"))
    found = load(wishes)
    assert found.facts.activation == ("quick_gelu" if quick else "gelu")
    wanted = _open_clip_logits(model, _pictures())
    torch.testing.assert_close(_logits(found, _pictures()), wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("names", ["own", "of earlier versions"])
def test_a_network_with_a_text_part_of_its_own(names: str, tmp_path: Path) -> None:
    torch.manual_seed(5)
    model = open_clip.CustomTextCLIP(**ARCHITECTURE, quick_gelu=True).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    state = model.state_dict()
    if names != "own":  # which had the text's weights at the top
        state = {name.removeprefix("text."): values for name, values in state.items()}
        assert "positional_embedding" in state
    torch.save(state, tmp_path / "weights.pt")
    sizes = ARCHITECTURE | {"quick_gelu": True, "custom_text": True}
    (tmp_path / "sizes.json").write_text(json.dumps(sizes))
    asked = {"model": tmp_path / "weights.pt", "architecture": str(tmp_path / "sizes.json")}
    wanted = _open_clip_logits(model, _pictures())
    found = _logits(load(ModelWishes(**asked)), _pictures())
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def _openai_state(model: open_clip.CLIP) -> dict[str, Tensor]:
    beside = {"input_resolution": 32, "context_length": 24, "vocab_size": 49408}
    return {**model.state_dict(), **{name: torch.tensor(n) for name, n in beside.items()}}


class _Script(torch.nn.Module):
    """Weights under OpenAI's names, without their network."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        for name, value in state.items():
            self._put(name.split("."), value)

    def _put(self, path: list[str], value: Tensor) -> None:
        place: torch.nn.Module = self
        for part in path[:-1]:
            if not hasattr(place, part):
                place.add_module(part, torch.nn.Module())
            place = getattr(place, part)
        place.register_buffer(path[-1], value)

    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.fixture(scope="module")
def openai() -> open_clip.CLIP:
    """OpenAI's widths are multiples of 64, a head for each."""
    torch.manual_seed(3)
    sizes = {**ARCHITECTURE, "vision_cfg": {**ARCHITECTURE["vision_cfg"], "head_width": 64}}
    sizes["text_cfg"] = {**ARCHITECTURE["text_cfg"], "width": 64, "heads": 1}
    model = open_clip.CLIP(**sizes, quick_gelu=True).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


@pytest.mark.parametrize("script", [False, True])
def test_openais_files_are_read_for_their_weights(
    script: bool, openai: open_clip.CLIP, tmp_path: Path
) -> None:
    state, path = _openai_state(openai), tmp_path / "ViT-tiny.pt"
    if script:
        torch.jit.script(_Script(state)).save(str(path))
    else:
        torch.save(state, path)
    assert is_openai(state)
    found = load(ModelWishes(model=path))
    assert found.facts.activation == "quick_gelu"
    wanted = _open_clip_logits(openai, _pictures())
    torch.testing.assert_close(_logits(found, _pictures()), wanted, atol=1e-5, rtol=0)
    with pytest.raises(UserError, match="leave out --architecture"):
        load(ModelWishes(model=path, architecture="ViT-B-32"))


@pytest.mark.parametrize("kind", ["ViT", "ResNet"])
def test_openais_files_are_in_half_precision(kind: str, openai, tmp_path: Path) -> None:
    model = openai if kind == "ViT" else _residual(openai)
    model = deepcopy(model).half()
    torch.save(_openai_state(model), tmp_path / "half.pt")
    wanted = _open_clip_logits(model.float(), _pictures())
    found = load(ModelWishes(model=tmp_path / "half.pt"))
    torch.testing.assert_close(_logits(found, _pictures()), wanted, atol=1e-5, rtol=0)


def _residual(openai: open_clip.CLIP) -> open_clip.CLIP:
    """The same text network beside a small ModifiedResNet, whose statistics are not those it starts with."""
    torch.manual_seed(6)
    vision = {"image_size": 32, "layers": [1, 2, 1, 1], "width": 16}
    text = {**ARCHITECTURE["text_cfg"], "width": 64, "heads": 1}
    model = open_clip.CLIP(24, vision, text, quick_gelu=True).eval()
    state = {k: v for k, v in openai.state_dict().items() if not k.startswith("visual.")}
    model.load_state_dict(state, strict=False)
    for name, buffer in model.visual.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)
    return model


def test_the_activation_can_be_set(tiny_clip: Path, openai: open_clip.CLIP, tmp_path: Path) -> None:
    torch.save(_openai_state(openai), tmp_path / "openai.pt")
    for path in (tiny_clip, tmp_path / "openai.pt"):
        own, other = (load(ModelWishes(model=path, activation=a)) for a in (None, "gelu"))
        assert (own.facts.activation, other.facts.activation) == ("quick_gelu", "gelu")
        difference = _logits(own, _pictures()) - _logits(other, _pictures())
        assert difference.abs().max() > 1e-3


def test_listed_architectures_tell_their_activation(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the names of open_clip and the sizes of a small network."""
    listed = open_clip.get_model_config

    def small(name: str) -> dict[str, object]:
        told = listed(name) or {}
        return ARCHITECTURE | {k: v for k, v in told.items() if k == "quick_gelu"}

    names = [n for n in open_clip.list_models() if n.endswith("-quickgelu")]
    twins = [n.removesuffix("-quickgelu") for n in names]
    assert "ViT-B-32" in twins
    monkeypatch.setattr(open_clip, "get_model_config", small)
    for some, activation in ((names, "quick_gelu"), (twins, "gelu")):
        for name in some:
            if name in open_clip.list_models():
                found = open_clip_model(name, {}, name, lambda network, weights: None)
                assert found.facts.activation == activation


def test_files_without_an_architecture_or_with_a_wrong_one(tmp_path: Path) -> None:
    model = _random(False)
    path = tmp_path / "weights.pt"
    torch.save(model.state_dict(), path)
    with pytest.raises(UserError, match="does not tell its architecture"):
        load(ModelWishes(model=path))
    with pytest.raises(UserError, match="did you mean 'ViT-B-32'"):
        load(ModelWishes(model=path, architecture="ViT-B32"))
    with pytest.raises(UserError, match="do not come with open_clip"):
        load(ModelWishes(model=path, architecture="ViT-B-16-SigLIP"))
    (tmp_path / "sizes.json").write_text(json.dumps(ARCHITECTURE | {"embed_dim": 48}))
    with pytest.raises(UserError, match="does not fit CLIP: 'text_projection' should be 32 × 48"):
        load(ModelWishes(model=path, architecture=str(tmp_path / "sizes.json")))
    (tmp_path / "sizes.json").write_text("{}")
    with pytest.raises(UserError, match="embed_dim is missing"):
        load(ModelWishes(model=path, architecture=str(tmp_path / "sizes.json")))
