"""UViT: convolutions over patches, a transformer over the tokens below, made for small CPUs.

The form is the U-ViT of simple diffusion (Hoogeboom et al. 2023): patches of pixels, at each of one or more
resolutions a residual convolution block and a stride-2 convolution, at the last one to tokens, transformer
blocks with adaLN-zero (Peebles & Xie 2023), and the way back with one skip a resolution. Two things are
added for training in minutes: some blocks mix tokens with an MLP (Tolstikhin et al. 2021) in place of
attention, and every class owns learned maps that scale and shift the tokens and the places above them
(``ClassMaps``).
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from marmor.base.conditions import Conditions, Kinds, ObjectSet
from marmor.networks.layers import (
    ClassMaps,
    Context,
    Matrix,
    MatrixConv,
    Modulation,
    ObjectTokens,
    TimeFeatures,
    channel_norm,
    condition_vectors,
    modulated,
    norm,
    normalised,
)

PATCH = 2
"""Side in pixels of a place of the first level."""


class ResidualBlock(nn.Module):
    """Norm, ReLU, conv, modulated norm, ReLU, conv, plus the input."""

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.first = MatrixConv(channels, channels)
        self.second = MatrixConv(channels, channels, zero=True)
        self.modulation = Modulation(embedding, channels, 2)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = (part[:, :, None, None] for part in self.modulation.split(embedding))
        h = self.first(F.relu(channel_norm(x)))
        h = channel_norm(h) * (1 + scale) + shift
        return x + self.second(F.relu(h))


class Attention(nn.Module):
    """Self-attention with normalised queries and keys and a learned temperature per head.

    Tokens of a context are attended to beside the image's own, with the same keys and values (as GLIDE
    does, Nichol et al. 2022). Written out: for 49 tokens the matrix products beat the fused kernel on CPUs.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (Matrix(width, width) for _ in range(3))
        self.out = Matrix(width, width, zero=True)
        self.log_temperature = nn.Parameter(torch.full((heads, 1, 1), math.log(8.0)))

    def forward(self, x: Tensor, context: Context | None = None) -> Tensor:
        seen = x if context is None else torch.cat([x, context.tokens.to(x.dtype)], dim=1)
        query, key, value = (
            layer(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, tokens in ((self.query, x), (self.key, seen), (self.value, seen))
        )
        query = normalised(query) * self.log_temperature.exp().to(query.dtype)
        logits = query @ normalised(key).mT
        if context is not None:
            silence = torch.where(context.said, 0.0, -torch.inf).to(logits.dtype)
            logits = logits + F.pad(silence, (x.shape[1], 0))[:, None, None]
        return self.out((logits.softmax(-1) @ value).transpose(1, 2).flatten(2))


class TokenMixing(nn.Module):
    """An MLP across the tokens, the same for every channel (MLP-Mixer)."""

    def __init__(self, tokens: int, hidden: int = 128) -> None:
        super().__init__()
        self.spread = Matrix(tokens, hidden)
        self.gather = Matrix(hidden, tokens, zero=True)

    def forward(self, x: Tensor, context: Context | None = None) -> Tensor:
        """Reads no context: places have their own weights, and its tokens have no place."""
        return self.gather(F.relu(self.spread(x.mT))).mT


class TransformerBlock(nn.Module):
    """A mixer over tokens, then an MLP over channels, each modulated by the embedding."""

    def __init__(self, width: int, embedding: int, mixer: nn.Module) -> None:
        super().__init__()
        self.mixer = mixer
        self.widen = Matrix(width, 4 * width)
        self.narrow = Matrix(4 * width, width, zero=True)
        self.modulation = Modulation(embedding, width, 6)

    def forward(self, x: Tensor, embedding: Tensor, context: Context | None = None) -> Tensor:
        parts = [part[:, None] for part in self.modulation.split(embedding)]
        scale, shift, gate, mlp_scale, mlp_shift, mlp_gate = parts
        x = x + (1 + gate) * self.mixer(modulated(x, scale, shift), context)
        h = F.relu(self.widen(modulated(x, mlp_scale, mlp_shift)))
        return x + (1 + mlp_gate) * self.narrow(h)


class Level(nn.Module):
    """What happens at one resolution, on the way down and on the way back, around all that happens below.

    Args:
        channels: of its places.
        below: width of what has half the resolution.
        embedding: width of what modulates it.
    """

    def __init__(self, channels: int, below: int, embedding: int) -> None:
        super().__init__()
        self.encode = ResidualBlock(channels, embedding)
        self.down = MatrixConv(channels, below, stride=2)
        self.up = Matrix(below, 8 * channels)
        self.decode = ResidualBlock(channels, embedding)

    def join(self, h: Tensor, skip: Tensor) -> Tensor:
        """(B, H/2, W/2, below), back from below, scales and shifts (B, C, H, W), as kept → (B, H, W, C)."""
        h = F.pixel_shuffle(self.up(norm(h)).permute(0, 3, 1, 2), 2)
        h = h.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
        scale, shift = h.chunk(2, dim=-1)
        return modulated(skip.permute(0, 2, 3, 1), scale, shift)


class UViT(Level):
    """See the module's text. It is the last level above the tokens; ``finer`` has those above it.

    Args:
        image_shape: (C, H, W) of the images; H and W multiples of what a token covers.
        kinds: the conditions by name.
        channels: width of the last level, of which four places make a token.
        finer: widths of levels above it, each of twice the resolution of the next; the first comes first.
        width: width of the tokens.
        mixers: one letter a block, "m" for token mixing, "a" for attention.
        heads: attention heads.
        depth: hidden layers behind the summed vectors of a set of objects.
        attends: whether the image's tokens also attend to those of a set's objects.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        kinds: Kinds,
        *,
        channels: int = 64,
        finer: Sequence[int] = (),
        width: int = 128,
        mixers: str = "mama",
        heads: int = 2,
        depth: int = 0,
        attends: bool = True,
    ) -> None:
        super().__init__(channels, width, width)
        pixels, height, image_width = image_shape
        place = PATCH * 2 ** len(finer)
        if height % (2 * place) or image_width % (2 * place):
            raise ValueError(f"image sides must be multiples of {2 * place}: {image_shape}")
        places = (height // place, image_width // place)
        tokens = math.prod(places) // 4
        widths = (*finer, channels)

        self.time = nn.Sequential(
            TimeFeatures(64), nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.labels = condition_vectors(kinds, width, depth)
        sets = {name: kind.size for name, kind in kinds.items() if isinstance(kind, ObjectSet)}
        self.attended = nn.ModuleDict(
            {name: ObjectTokens(size, width) for name, size in sets.items() if attends}
        )
        self.token_maps = ClassMaps(kinds, (tokens, width))
        # Of the last level's places; named as in weights that ship, where it is the only level.
        self.half_maps = ClassMaps(kinds, (*places, channels))
        self.positions = nn.Parameter(torch.randn(tokens, width) * 0.02)

        self.stem = MatrixConv(PATCH**2 * pixels, widths[0])
        self.finer = nn.ModuleList(Level(*pair, width) for pair in pairwise(widths))
        self.blocks = nn.ModuleList(
            TransformerBlock(
                width, width, TokenMixing(tokens) if kind == "m" else Attention(width, heads)
            )
            for kind in mixers
        )
        self.head = MatrixConv(widths[0], PATCH**2 * pixels, zero=True)

    def forward(self, x: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        """x (B, C, H, W), t (B,) in [0, 1], encoded conditions by name → (B, C, H, W)."""
        embedding = self.time(t)
        for name, label in self.labels.items():
            embedding = embedding + label(conditions[name])
        embedding = F.relu(embedding)

        h = F.pixel_unshuffle(x, PATCH).contiguous(memory_format=torch.channels_last)
        h = self.stem(h)
        levels = [*self.finer, self]
        skips = []
        for level in levels:
            skips.append(level.encode(h, embedding))
            h = level.down(skips[-1])

        h = self._transformed(h.permute(0, 2, 3, 1), embedding, conditions)
        for level, skip in zip(reversed(levels), reversed(skips), strict=True):
            h = level.join(h, skip)
            h = self.half_maps(h, conditions) if level is self else h
            h = level.decode(h.permute(0, 3, 1, 2), embedding).permute(0, 2, 3, 1)
        h = self.head(F.relu(norm(h)).permute(0, 3, 1, 2))
        return F.pixel_shuffle(h, PATCH)

    def _transformed(self, h: Tensor, embedding: Tensor, conditions: Conditions) -> Tensor:
        """Tokens (B, H, W, width) through the blocks."""
        tokens = self.token_maps(h.flatten(1, 2), conditions) + self.positions
        context = self._context(conditions)
        for block in self.blocks:
            tokens = block(tokens, embedding, context)
        return tokens.unflatten(1, h.shape[1:3])

    def _context(self, conditions: Conditions) -> Context | None:
        """What the image's tokens attend to beside each other; None where no condition is a set."""
        parts = [tokens(conditions[name]) for name, tokens in self.attended.items()]
        if not parts:
            return None
        tokens, said = (torch.cat(each, dim=1) for each in zip(*parts, strict=True))
        return Context(tokens, said)

    def hidden_matrices(self) -> list[nn.Parameter]:
        """The weights between hidden layers, for Muon; embeddings, stem and head are not among them."""
        rooms = [self.encode, self.down, self.finer, self.blocks, self.up, self.decode]
        layers = [layer for room in rooms for layer in room.modules()]
        return [layer.weight for layer in layers if isinstance(layer, (Matrix, MatrixConv))]
