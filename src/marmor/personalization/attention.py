"""Where a network looks while it draws: cross-attention of chosen words, as maps over the picture.

After Hertz et al. 2022 (Prompt-to-Prompt, section 3.1), who take the mean over steps and layers.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

CROSS = "attn2.processor"
"""How the names of processors of cross-attention end."""


class AttentionMaps:
    """The attention of one picture to W words, added up call by call; its size never grows.

    Args:
        tokens: float (P, L, W): 1 where token l of prompt p is a part of word w, else 0.
        shares: float (P, h, w): which prompt speaks for which place; they add up to 1. Maps of several
            prompts are put together as their predictions are.
    """

    def __init__(self, tokens: Tensor, shares: Tensor) -> None:
        self.tokens, self.shares = tokens, shares
        self.total = torch.zeros(tokens.shape[2], *shares.shape[1:], device=shares.device)
        self.calls = 0

    def add(self, probabilities: Tensor) -> None:
        """Attention (P, heads, Q, L) of one layer in one step; its Q places are a picture, row by row."""
        per_word = (probabilities.float().mean(1) @ self.tokens).transpose(1, 2)
        size = self.shares.shape[1:]
        layer = per_word.unflatten(2, _layer_size(per_word.shape[2], *size))
        full = F.interpolate(layer, size=size, mode="bilinear", align_corners=False)
        self.total += (full * self.shares[:, None]).sum(0)
        self.calls += 1

    def mean(self) -> Tensor:
        """float32 (W, h, w) in [0, 1], h × w the latents' size: the mean over heads, layers and steps.

        All tokens of a word are added up, so the maps of all words of a prompt add up to 1.
        """
        return self.total / self.calls


class Watch(threading.local):
    """Whose attention is being added up; each thread draws a picture of its own."""

    maps: AttentionMaps | None = None


class Watched:
    """A processor of diffusers that leaves the work to another one, and looks at what it attends to.

    What the layer gives is what the other processor gives, bit for bit.
    """

    def __init__(self, inner: Any, watch: Watch) -> None:
        self.inner, self.watch = inner, watch

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        maps = self.watch.maps
        if maps is not None and encoder_hidden_states is not None:
            # Rows of the empty prompt come first, and nobody asks what they look at.
            rows = slice(-len(maps.shares), None)
            maps.add(attention_of(attn, hidden_states[rows], encoder_hidden_states[rows]))
        return self.inner(attn, hidden_states, encoder_hidden_states, attention_mask)


def attention_of(attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor) -> Tensor:
    """softmax(q kᵀ / √d) of a cross-attention layer, (B, heads, Q, L), for states (B, Q, C) and (B, L, D)."""
    query = attn.head_to_batch_dim(attn.to_q(hidden_states))
    key = attn.head_to_batch_dim(attn.to_k(encoder_hidden_states))
    return attn.get_attention_scores(query, key).unflatten(0, (len(hidden_states), -1))


@contextmanager
def watched(unet: Any) -> Iterator[Watch]:
    """Within, what the network's cross-attention attends to is added to ``maps`` of the watch."""
    before, watch = dict(unet.attn_processors), Watch()
    unet.set_attn_processor(
        {
            name: Watched(inner, watch) if name.endswith(CROSS) else inner
            for name, inner in before.items()
        }
    )
    try:
        yield watch
    finally:
        unet.set_attn_processor(before)


def tokens_of(pipeline: Any, prompts: Sequence[str], words: Sequence[str]) -> Tensor:
    """float32 (P, L, W): 1 where a token of a prompt is a part of a word, every time that it is said.

    A new word of several vectors is all of them.
    """

    def ids(text: str) -> list[int]:
        written_out = pipeline.maybe_convert_prompt(text, pipeline.tokenizer)
        return pipeline.tokenizer(written_out, add_special_tokens=False)["input_ids"]

    length = pipeline.tokenizer.model_max_length
    found = torch.zeros(len(prompts), length, len(words))
    for row, prompt in zip(found, map(ids, prompts), strict=True):
        for column, word in enumerate(map(ids, words)):
            for place in range(len(prompt) - len(word) + 1):
                if prompt[place : place + len(word)] == word:
                    row[place + 1 : place + 1 + len(word), column] = 1  # behind the first mark
    return found


def _layer_size(places: int, height: int, width: int) -> tuple[int, int]:
    """The size of a layer's picture, a whole fraction of the whole one, rounded up."""
    part = round((height * width / places) ** 0.5)
    return -(-height // part), -(-width // part)
