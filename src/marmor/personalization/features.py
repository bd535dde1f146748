"""What a text encoder says of sentences, word by word: what a merge holds on to."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from marmor.personalization.placeholders import Placeholder, expand

BATCH = 32


@torch.no_grad()
def word_features(
    tokenizer: Any, encoder: Any, sentences: Sequence[str], word: Placeholder
) -> Tensor:
    """States (M, D) at every vector of ``word`` and at the end of each sentence, in order.

    The end has read the whole sentence, and pipelines pad with it, so that it weighs as much as the word.
    """
    found = []
    for sentence in sentences:
        ids = tokenizer(expand(sentence, [word]))["input_ids"]
        states = encoder(torch.tensor([ids], device=encoder.device))[0][0]
        own = [place for place, token in enumerate(ids) if token in word.ids]
        found.append(states[[*own, len(ids) - 1]])
    return torch.cat(found)


@torch.no_grad()
def caption_features(
    tokenizer: Any,
    encoder: Any,
    captions: Sequence[str],
    watch: Callable[[float], object] = lambda share: None,
) -> Tensor:
    """States (N, D) at every token of every caption, begin and end among them; long captions are cut."""
    found = []
    for first in range(0, len(captions), BATCH):
        part = list(captions[first : first + BATCH])
        # The encoder is causal: what fills up a sentence comes after it and does not change it.
        read = tokenizer(part, padding=True, truncation=True, return_tensors="pt")
        states = encoder(read["input_ids"].to(encoder.device))[0]
        found.append(states[read["attention_mask"].bool()])
        watch((first + len(part)) / len(captions))
    return torch.cat(found)


def whole_words(tokenizer: Any, least: int = 3) -> list[str]:
    """The words of at least so many letters that are one token each, in the tokenizer's order."""
    ordered = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    ends = [token.removesuffix("</w>") for token, _ in ordered if token.endswith("</w>")]
    return [word for word in ends if word.isascii() and word.isalpha() and len(word) >= least]
