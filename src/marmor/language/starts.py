"""Where a small vision transformer starts, so that few pictures are enough for it to look at neighbours.

At random, attention has first to learn from its position embeddings which patches lie side by side.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

RANDOM, ALIKE = 0.7, 0.7
"""Of queries times keys: shares of chance and of the identity; Trockman & Kolter 2023, section 4."""
MIXED, TAKEN_AWAY = 0.4, 0.4
"""Of values times projection: of chance, and of minus the identity; the same place."""


@torch.no_grad()
def begin_nearby(vision: Any) -> None:
    """Sets what a CLIP's vision model of transformers starts with; torch's seed decides.

    Positions are sines and cosines (Beyer, Zhai & Kolesnikov 2022), patches are coded at the same scale, and
    attention is mimetic (Trockman & Kolter 2023): a patch looks at those like it, nearby ones first.
    """
    embeddings = vision.embeddings
    kernel = embeddings.patch_embedding.weight
    nn.init.normal_(kernel, std=kernel[0].numel() ** -0.5)
    table = embeddings.position_embedding.weight
    side = math.isqrt(len(table) - 1)
    table.zero_()  # of the class token
    table[1:] = positions(side, table.shape[1])
    for layer in vision.encoder.layers:
        mimetic(layer.self_attn)


def positions(side: int, width: int) -> Tensor:
    """Sines and cosines of where patches lie, row by row, float32 (side², width), 4 to a rate."""
    rates = 100 ** -(torch.arange(width // 4) / (width // 4))
    down, across = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    angles = [each.flatten()[:, None] * rates for each in (across, down)]
    return torch.cat([wave(each) for each in angles for wave in (torch.sin, torch.cos)], 1)


def mimetic(attention: Any) -> None:
    """Queries times keys of each head become near the identity, values times projection its opposite."""
    width, head = attention.embed_dim, attention.head_dim
    for place in range(attention.num_heads):
        own = slice(place * head, (place + 1) * head)
        chance = torch.randn(width, width) / math.sqrt(width)
        query, key = _halves(RANDOM * chance + ALIKE * torch.eye(width), head)
        attention.q_proj.weight[own], attention.k_proj.weight[own] = query, key
    chance = torch.randn(width, width) / math.sqrt(width)
    value, out = _halves(MIXED * chance - TAKEN_AWAY * torch.eye(width), width)
    attention.v_proj.weight.copy_(value)
    attention.out_proj.weight.copy_(out.T)


def _halves(product: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """A (rank, width) and B (rank, width) whose Aᵀ B is nearest to ``product``."""
    left, strength, right = torch.linalg.svd(product)
    root = strength[:rank].sqrt()[:, None]
    return root * left.T[:rank], root * right[:rank]
