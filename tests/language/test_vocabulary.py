"""A tokenizer of CLIP's kind for given sentences: whole words, nothing unknown, the same from its files."""

from collections import Counter
from pathlib import Path

import pytest

from marmor.language import clip_tokenizer, save_tokenizer
from marmor.language.vocabulary import learn_merges

pytest.importorskip("transformers")

SENTENCES = (
    "a red sphere next to the gray cylinder",
    "three spheres, one of them red",
    "Ein Würfel",
)


def test_each_word_is_one_token_and_sentences_come_back() -> None:
    tokenizer = clip_tokenizer(SENTENCES, 32)
    assert tokenizer.model_max_length == 32
    for sentence in SENTENCES:
        ids = tokenizer(sentence)["input_ids"]
        assert len(ids) == len(sentence.replace(",", " ,").split()) + 2
        assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    for sentence in SENTENCES[:2]:
        ids = tokenizer(sentence)["input_ids"][1:-1]
        words = [tokenizer.convert_ids_to_tokens(i).replace("</w>", "") for i in ids]
        assert words == sentence.replace(",", " ,").split()


def test_other_words_are_spelled_and_none_is_unknown() -> None:
    tokenizer = clip_tokenizer(SENTENCES, 32)
    for word in ("cone", "sphere's", "日本", "grayish"):
        ids = tokenizer(word)["input_ids"][1:-1]
        assert len(ids) > 1
        assert tokenizer.unk_token_id not in ids
    pieces = tokenizer.convert_ids_to_tokens(tokenizer("cone")["input_ids"][1:-1])
    assert "".join(pieces) == "cone</w>"


@pytest.mark.parametrize("left_out", [(), ("tokenizer.json",), ("vocab.json", "merges.txt")])
def test_files_give_the_same_tokens(left_out: tuple[str, ...], tmp_path: Path) -> None:
    from transformers import CLIPTokenizer

    tokenizer = clip_tokenizer(SENTENCES, 24)
    save_tokenizer(tokenizer, tmp_path)
    for name in left_out:
        (tmp_path / name).unlink()
    again = CLIPTokenizer.from_pretrained(tmp_path)
    asked = [*SENTENCES, "a cone and cylinders"]
    assert again(asked)["input_ids"] == tokenizer(asked)["input_ids"]
    assert again.model_max_length == 24
    assert again("", padding="max_length")["input_ids"] == [again.bos_token_id] + 23 * [
        again.eos_token_id
    ]


def test_the_most_frequent_pair_is_joined_first_then_by_alphabet() -> None:
    assert learn_merges(Counter({"ab": 1, "cb": 2})) == [("c", "b</w>"), ("a", "b</w>")]
    assert learn_merges(Counter({"xy": 1, "ab": 1})) == [("a", "b</w>"), ("x", "y</w>")]
    assert learn_merges(Counter({"aaa": 1})) == [("a", "a"), ("aa", "a</w>")]
    assert learn_merges(Counter({"a": 5})) == []
