"""New words for a pipeline: vectors in its text encoder, names in its tokenizer, prompts that use them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from marmor.base.errors import UserError

NAME = re.compile(r"<[^\s<>]+>")
"""Tokenizers find added tokens inside words, 'art' in 'cart'; between brackets none is."""


@dataclass(frozen=True)
class Placeholder:
    """A new word that stands for one or several vectors.

    Args:
        name: what people write, e.g. ``<new1>``.
        ids: a row of the text encoder's table for each vector.
    """

    name: str
    ids: tuple[int, ...]

    @property
    def pieces(self) -> tuple[str, ...]:
        """The tokenizer's tokens: NAME, NAME_1, NAME_2 …, as diffusers calls them."""
        return _pieces(self.name, len(self.ids))


def first_vectors(tokenizer: Any, encoder: Any, word: str, vectors: int) -> Tensor:
    """Where training starts: the embedding of ``word``, (vectors, D).

    A word of one token is repeated; a word of as many tokens as vectors gives one to each. Raises UserError
    for all other words.
    """
    ids = _ids(tokenizer, word)
    if len(ids) not in {1, vectors}:
        raise UserError(
            f"the new word cannot start at {word!r}, which is {len(ids)} tokens of this tokenizer, with "
            f"--vectors {vectors}; name a --word of one token, or as many vectors as tokens."
        )
    found = encoder.get_input_embeddings().weight.detach()[ids]
    return found.expand(vectors, -1).clone()


def random_vectors(
    tokenizer: Any, encoder: Any, beside: str, vectors: int, generator: torch.Generator
) -> Tensor:
    """Where training starts that knows nothing: every direction as likely, (vectors, D), on the CPU.

    Each is as long as the words of the sentence ``beside`` are in the mean, so that it is read like a word.
    The whole table would not tell: a small encoder was never taught many of its rows.
    """
    table = encoder.get_input_embeddings().weight.detach().cpu()
    drawn = torch.randn((vectors, table.shape[1]), generator=generator)
    return F.normalize(drawn, dim=1) * table[_ids(tokenizer, beside)].norm(dim=1).mean()


def add_placeholder(tokenizer: Any, encoder: Any, name: str, vectors: Tensor) -> Placeholder:
    """Gives a tokenizer and its text encoder a new word with the ``vectors`` (V, D).

    All rows that were there stay the same, bit for bit. Raises UserError for a name without brackets or with
    a space, a name that is taken, and vectors that are not those of such an encoder; then nothing has
    changed.
    """
    if not NAME.fullmatch(name):
        raise UserError(
            f"the new word {name!r} would be split, or found inside other words; write it as '<new1>', "
            "between brackets and without spaces."
        )
    pieces = _pieces(name, len(vectors))
    # Asking for the ids of its text also finds '<New1>' where the tokenizer reads small letters only.
    if taken := [piece for piece in pieces if len(_ids(tokenizer, piece)) == 1]:
        raise UserError(f"the tokenizer has {taken[0]!r} already; choose another name.")
    width = encoder.get_input_embeddings().weight.shape[1]
    if vectors.ndim != 2 or len(vectors) == 0 or vectors.shape[1] != width:
        raise UserError(
            f"{name} should be vectors of {width} numbers for this text encoder, but is "
            f"{tuple(vectors.shape)}; it was made for another one."
        )
    tokenizer.add_tokens(list(pieces))
    ids = tuple(tokenizer.convert_tokens_to_ids(list(pieces)))
    rows = max(len(tokenizer), len(encoder.get_input_embeddings().weight))
    encoder.resize_token_embeddings(rows, mean_resizing=False)
    with torch.no_grad():
        table = encoder.get_input_embeddings().weight
        table[list(ids)] = vectors.to(table)
    return Placeholder(name, ids)


def expand(prompt: str, placeholders: Iterable[Placeholder]) -> str:
    """A prompt with every vector of each new word written out, as the tokenizer needs it.

    Pipelines of diffusers do this to every prompt, and twice over to one that is written out already.
    """
    for placeholder in placeholders:
        # Not where it is the beginning of '<new1>_1'.
        alone = re.escape(placeholder.name) + r"(?!_\d)"
        prompt = re.sub(alone, lambda _, it=placeholder: " ".join(it.pieces), prompt)
    return prompt


def _pieces(name: str, vectors: int) -> tuple[str, ...]:
    return (name, *(f"{name}_{number}" for number in range(1, vectors)))


def _ids(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]
