"""Files of learned words, held against diffusers' own reader."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from marmor.base.errors import UserError
from marmor.personalization.embedding_files import read_embedding, write_embedding
from marmor.personalization.placeholders import add_placeholder, expand

peers = pytest.importorskip("diffusers")

NAMES = ("learned_embeds.safetensors", "learned_embeds.bin")


def vectors(count: int) -> torch.Tensor:
    return torch.randn(count, 32, generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [1, 3])
def test_diffusers_loads_what_is_written_and_draws_the_same_image(
    name: str, count: int, pipeline, pipeline_folder, tmp_path: Path, draw
) -> None:
    theirs = peers.StableDiffusionPipeline.from_pretrained(pipeline_folder)
    theirs.set_progress_bar_config(disable=True)
    parts = pipeline.tokenizer, pipeline.text_encoder
    word = add_placeholder(*parts, "<new1>", vectors(count))
    write_embedding(tmp_path / name, "<new1>", vectors(count))
    theirs.load_textual_inversion(tmp_path, weight_name=name)
    ids = theirs.tokenizer.convert_tokens_to_ids(list(word.pieces))
    assert torch.equal(theirs.text_encoder.get_input_embeddings().weight[ids], vectors(count))
    prompt = "a photo of <new1> next to a dog, a <new1>"
    assert expand(prompt, [word]) == theirs.maybe_convert_prompt(prompt, theirs.tokenizer)
    assert torch.equal(draw(pipeline, prompt), draw(theirs, prompt))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_read_back(name: str, tmp_path: Path) -> None:
    write_embedding(tmp_path / name, "<new1>", vectors(2).requires_grad_())
    word, found = read_embedding(tmp_path / name)
    assert word == "<new1>"
    assert torch.equal(found, vectors(2))
    assert not found.requires_grad


def test_files_of_others_are_read(tmp_path: Path) -> None:
    save_file({"<one>": vectors(1)[0].half()}, tmp_path / "one.safetensors")
    word, found = read_embedding(tmp_path / "one.safetensors")
    assert (word, found.dtype) == ("<one>", torch.float32)
    assert torch.equal(found, vectors(1).half().float())
    held = {"string_to_param": {"*": vectors(2)}, "name": "style", "step": 100}
    torch.save(held, tmp_path / "two.pt")
    word, found = read_embedding(tmp_path / "two.pt")
    assert word == "style"
    assert torch.equal(found, vectors(2))


WRONG = [
    (vectors(1), "should hold the vectors of one word"),
    ({"<a>": vectors(1), "<b>": vectors(1)}, "should hold the vectors of one word"),
    ({"<a>": [1.0, 2.0]}, "vectors of numbers"),
    ({"<a>": torch.zeros(2, 2, 2)}, "vectors of numbers"),
    ({"<a>": torch.zeros(0, 32)}, "vectors of numbers"),
    ({"<a>": torch.zeros(2, 32, dtype=torch.int64)}, "vectors of numbers"),
    ({"string_to_param": {"*": vectors(1)}}, "vectors of numbers"),
    ({"<a>": Path}, "holds code"),
    ({"string_to_param": 3, "name": "<a>"}, "vectors of numbers"),
    ({"string_to_param": {"*": vectors(1)}, "name": ["<a>"]}, "vectors of numbers"),
]


@pytest.mark.parametrize(("held", "wrong"), WRONG)
def test_what_is_no_learned_word_is_one_sentence(held, wrong: str, tmp_path: Path) -> None:
    torch.save(held, tmp_path / "file.bin")
    with pytest.raises(UserError, match=wrong):
        read_embedding(tmp_path / "file.bin")


def test_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"should end in \.safetensors or \.bin"):
        write_embedding(tmp_path / "learned.npz", "<new1>", vectors(1))
