"""Templates, ensembles, and what of a name is spoken."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from marmor.base.errors import UserError
from marmor.language import LISTS, Clip, embed_prompts, ensemble, read_templates, sentences_for


def test_the_published_lists_are_those_of_open_clip() -> None:
    from open_clip.zero_shot_metadata import (
        OPENAI_IMAGENET_TEMPLATES,
        SIMPLE_IMAGENET_TEMPLATES,
    )

    for name, published in (
        ("openai", OPENAI_IMAGENET_TEMPLATES),
        ("simple", SIMPLE_IMAGENET_TEMPLATES),
    ):
        assert sentences_for(LISTS[name], ["x"]) == [template("x") for template in published]


def test_a_list_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("a {object} at night\n\n  the {}.\nthe {label}.\n", encoding="utf-8")
    assert read_templates(str(path)) == ("a {} at night", "the {}.")
    assert sentences_for(read_templates(str(path)), ["willow_tree"])[0] == "a willow tree at night"
    for text, words in (
        ("no place", "line 1 .* needs {} once"),
        ("{} and {}", "once"),
        ("", "empty"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=words):
            read_templates(str(path))
    with pytest.raises(UserError, match="did you mean 'simple'"):
        read_templates("simpel")


def test_each_sentence_weighs_the_same_in_an_ensemble() -> None:
    class Uneven(_Lengths):
        def embed_texts(self, sentences: list[str]) -> Tensor:
            return torch.tensor([[0.0, 7.0] if "far" in s else [1.0, 0.0] for s in sentences])

    found = ensemble(embed_prompts(Uneven(), ["{} far", "{} near"], ["x"]))
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.5]]) * 2**0.5)


class _Lengths(Clip):
    """Embeds a sentence as its length and its first letter, ten times as long as 1."""

    def embed_images(self, x: Tensor) -> Tensor:
        return x

    def embed_texts(self, sentences: list[str]) -> Tensor:
        return 10 * torch.tensor([[float(len(s)), float(ord(s[0]))] for s in sentences])

    def lengths(self, sentences: list[str]) -> list[int]:
        return [len(sentence) for sentence in sentences]


def test_sentences_come_back_in_order_and_of_length_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marmor.language.prompts.BATCH", 2)
    shares: list[float] = []
    found = embed_prompts(
        _Lengths(), ["{} far away", "b {}"], ["cat", "an ant", "x"], shares.append
    )
    assert found.shape == (2, 3, 2)
    told = [[("cat far away"), ("an ant far away"), ("x far away")], ["b cat", "b an ant", "b x"]]
    wanted = torch.tensor([[[float(len(s)), float(ord(s[0]))] for s in row] for row in told])
    torch.testing.assert_close(found, wanted / wanted.norm(dim=2, keepdim=True))
    assert shares[-1] == 1
    assert shares == sorted(shares)
