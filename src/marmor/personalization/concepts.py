"""All that is trained of a pipeline: vectors of new words, chosen weights of its network, or both."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from marmor.personalization.chosen import ChosenWeights
from marmor.personalization.rows import NewRows


class Concepts(nn.Module):
    """What concepts are learned into; ``rows`` or ``weights`` may be None, where there are none."""

    def __init__(self, rows: NewRows | None, weights: ChosenWeights | None = None) -> None:
        super().__init__()
        self.rows, self.weights = rows, weights

    def states(self, encoder: Any, tokens: Tensor) -> Tensor:
        """Tokens (N, L) → the encoder's last hidden states (N, L, D), read with these rows."""
        return encoder(tokens)[0] if self.rows is None else self.rows(encoder, tokens)

    def network(self, unet: nn.Module) -> Callable[..., Any]:
        """The U-Net with these weights."""
        weights = self.weights
        if weights is None:
            return unet
        return lambda *inputs, **named: weights(unet, *inputs, **named)
