"""New words: what is added, what is refused, and that nothing else changes."""

import pytest
import torch

from marmor.base.errors import UserError
from marmor.personalization.placeholders import Placeholder, add_placeholder, expand, first_vectors


def vectors(count: int, width: int = 32) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(1))


def table(pipeline) -> torch.Tensor:
    return pipeline.text_encoder.get_input_embeddings().weight.detach()


def add(pipeline, name: str, rows: torch.Tensor) -> Placeholder:
    return add_placeholder(pipeline.tokenizer, pipeline.text_encoder, name, rows)


def tokens(pipeline, text: str) -> list[str]:
    return pipeline.tokenizer.tokenize(text)


def test_a_new_word_adds_rows_and_leaves_the_others(pipeline) -> None:
    before = table(pipeline).clone()
    one = add(pipeline, "<new1>", vectors(1))
    three = add(pipeline, "<new2>", vectors(3))
    after = table(pipeline)
    assert torch.equal(after[: len(before)], before)
    assert torch.equal(after[list(one.ids)], vectors(1))
    assert torch.equal(after[list(three.ids)], vectors(3))
    assert three.pieces == ("<new2>", "<new2>_1", "<new2>_2")
    assert tokens(pipeline, "a <new2> <new2>_1 <new2>_2") == ["a</w>", *three.pieces]


def test_prompts_without_new_words_give_the_same_image(pipeline, draw) -> None:
    before = draw(pipeline, "a photo of a red dog")
    add(pipeline, "<new1>", vectors(2))
    assert torch.equal(draw(pipeline, "a photo of a red dog"), before)
    assert not torch.equal(draw(pipeline, "a photo of a <new1>"), before)


def test_a_table_longer_than_the_vocabulary_keeps_its_length(pipeline) -> None:
    known = len(pipeline.tokenizer)
    pipeline.text_encoder.resize_token_embeddings(known + 8, mean_resizing=False)
    assert add(pipeline, "<new1>", vectors(2)).ids == (known, known + 1)
    assert len(table(pipeline)) == known + 8


@pytest.mark.parametrize("name", ["art", "<new 1>", "new1", "<>", "<a><b>", "<new1>_1"])
def test_names_that_would_be_split_or_found_in_other_words_are_refused(pipeline, name: str) -> None:
    known = len(pipeline.tokenizer)
    with pytest.raises(UserError, match="write it as '<new1>'"):
        add(pipeline, name, vectors(1))
    assert len(pipeline.tokenizer) == known


@pytest.mark.parametrize("name", ["<new1>", "<New1>", "<|endoftext|>"])
def test_names_that_are_taken_are_refused(pipeline, name: str) -> None:
    add(pipeline, "<new1>", vectors(1))
    with pytest.raises(UserError, match=r"has '.*' already; choose another name"):
        add(pipeline, name, vectors(1))


def test_vectors_of_another_encoder_are_refused(pipeline) -> None:
    known = len(pipeline.tokenizer)
    for wrong in (vectors(1, 16), vectors(0), vectors(1)[0]):
        with pytest.raises(UserError, match="vectors of 32 numbers"):
            add(pipeline, "<new1>", wrong)
    assert len(pipeline.tokenizer) == known


def test_training_starts_at_a_word(pipeline) -> None:
    parts = pipeline.tokenizer, pipeline.text_encoder
    dog, red = (table(pipeline)[pipeline.tokenizer(w)["input_ids"][1]] for w in ("dog", "red"))
    assert torch.equal(first_vectors(*parts, "dog", 2), torch.stack([dog, dog]))
    assert torch.equal(first_vectors(*parts, "red dog", 2), torch.stack([red, dog]))
    each = first_vectors(*parts, "dog", 2)
    each[0] = 0
    assert each[1].any()
    with pytest.raises(UserError, match=r"'red dog', which is 2 tokens of .*, with --vectors 3"):
        first_vectors(*parts, "red dog", 3)
    with pytest.raises(UserError, match="'cat', which is 3 tokens"):
        first_vectors(*parts, "cat", 1)
    with pytest.raises(UserError, match="'', which is 0 tokens"):
        first_vectors(*parts, "", 1)


def test_prompts_spell_out_every_vector() -> None:
    words = [Placeholder("<a>", (1,)), Placeholder("<b>", (2, 3))]
    assert expand("a <b> next to a <a>, <b>", words) == "a <b> <b>_1 next to a <a>, <b> <b>_1"
    assert expand("a <b>_1", words) == "a <b>_1"
    assert expand("a <bb>", words) == "a <bb>"
