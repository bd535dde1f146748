"""Folders of transformers that lack something: one sentence each."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from marmor.base.errors import UserError
from marmor.language import load_hub_clip
from marmor.language.hub_clip import read_sight


@pytest.fixture
def folder(tiny_clip: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_clip, tmp_path / "clip")


def _changed(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        (
            "tokenizer.json",
            "has no tokenizer: expected tokenizer.json, or vocab.json and merges.txt",
        ),
        ("preprocessor_config.json", "does not say how pictures are prepared"),
        ("model.safetensors", "has no weights: expected model.safetensors"),
    ],
)
def test_a_missing_file_is_named(folder: Path, lost: str, words: str) -> None:
    (folder / lost).unlink()
    with pytest.raises(UserError, match=words):
        load_hub_clip(folder)


def test_damaged_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(UserError, match="cannot be read by transformers"):
        load_hub_clip(folder)


def test_a_missing_weight_is_named(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    del state["visual_projection.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"'visual_projection.weight' is missing"):
        load_hub_clip(folder)


def test_weights_of_another_size(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["projection_dim"] = 48
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="cannot be read by transformers"):
        load_hub_clip(folder)


def test_other_kinds_of_models(folder: Path) -> None:
    _changed(folder / "config.json", model_type="clap")
    with pytest.raises(UserError, match="did you mean 'clip'"):
        load_hub_clip(folder)


def test_pickled_weights_with_code_are_not_run(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"logit_scale": Path("x")}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="cannot be read by transformers"):
        load_hub_clip(folder)


def test_without_transformers_the_extra_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"pip install 'marmor\[hub\]'"):
        load_hub_clip(folder)


def test_older_ways_to_write_the_size(folder: Path) -> None:
    path = folder / "preprocessor_config.json"
    _changed(path, size=32, crop_size=32)
    sight = read_sight(folder)
    assert (sight.side, sight.crop, sight.bicubic) == (32, True, True)
    nested = {"image_processor": json.loads(path.read_text()) | {"do_center_crop": False}}
    path.unlink()
    (folder / "processor_config.json").write_text(json.dumps(nested))
    assert not read_sight(folder).crop


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"crop_size": 24}, "resizes to 32, cuts 24"),
        ({"size": {"height": 32, "width": 40}}, "not square"),
        ({"image_mean": None}, "damaged"),
        ({"resample": 1}, "filters by 1"),
    ],
)
def test_what_is_not_done_here(folder: Path, values: dict[str, object], words: str) -> None:
    _changed(folder / "preprocessor_config.json", **values)
    with pytest.raises(UserError, match=words):
        read_sight(folder)


def test_pictures_of_another_size_than_the_network(folder: Path) -> None:
    _changed(folder / "preprocessor_config.json", size=64, crop_size=64)
    with pytest.raises(UserError, match="64 pixels for a network of 32"):
        load_hub_clip(folder)
