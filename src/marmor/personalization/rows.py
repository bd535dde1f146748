"""Vectors of new words as the only weights that are trained."""

from collections.abc import Sequence
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

ALONE = Lock()
"""Threads share one text encoder, and each reads it with rows, hence gradients, of its own."""


class NewRows(nn.Module):
    """Rows of a text encoder's table that are weights, while the table itself is left alone.

    An optimizer that holds whole tables moves all rows: by weight decay, and by Adam's memory of gradients
    that are zero now. Here it never sees them.
    """

    ids: Tensor

    def __init__(self, encoder: Any, ids: Sequence[int]) -> None:
        super().__init__()
        table = encoder.get_input_embeddings().weight.detach()
        self.rows = nn.Parameter(table[list(ids)].clone())
        self.register_buffer("ids", torch.tensor(list(ids), device=table.device))

    def forward(self, encoder: Any, tokens: Tensor) -> Tensor:
        """Tokens (N, L) → the encoder's last hidden states (N, L, D), read with these rows."""
        with ALONE:
            hook = encoder.get_input_embeddings().register_forward_hook(self._put_in)
            try:
                return encoder(tokens)[0]
            finally:
                hook.remove()

    @torch.no_grad()
    def write(self, encoder: Any) -> None:
        """Puts the rows into the encoder's table; no other row changes."""
        table = encoder.get_input_embeddings().weight
        table[self.ids] = self.rows.to(table)

    def _put_in(self, table: nn.Module, tokens: tuple[Tensor], found: Tensor) -> Tensor:
        """``found`` (N, L, D) with these rows where the tokens (N, L) are theirs."""
        theirs = tokens[0][..., None] == self.ids
        rows = self.rows[theirs.int().argmax(-1)]
        return torch.where(theirs.any(-1, keepdim=True), rows, found)
