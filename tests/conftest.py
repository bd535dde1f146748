"""What all tests share."""

import math
import os
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

# On small tensors one thread is faster than several, much faster on a busy machine.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)


@pytest.fixture
def plain_unet() -> Callable[[dict[str, Tensor], Tensor, Tensor], Tensor]:
    """(state dict, x, steps) → output, by the formulas alone: what marmor's U-Net is held against."""
    return _plain_unet


def _plain_unet(state: dict[str, Tensor], x: Tensor, step: Tensor) -> Tensor:
    """DDPM's U-Net written plainly: no modules, the order of stages read off the names."""

    def conv(name: str, x: Tensor, **how) -> Tensor:
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **how)

    def linear(name: str, x: Tensor) -> Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(name: str, x: Tensor) -> Tensor:
        grouped = x.reshape(len(x), 32, -1)
        mean, variance = grouped.mean(2, keepdim=True), grouped.var(2, keepdim=True, correction=0)
        normal = ((grouped - mean) / (variance + 1e-5).sqrt()).reshape(x.shape)
        scale, shift = state[f"{name}.weight"], state[f"{name}.bias"]
        return normal * scale[:, None, None] + shift[:, None, None]

    def silu(x: Tensor) -> Tensor:
        return x / (1 + torch.exp(-x))

    def stage(name: str, x: Tensor) -> Tensor:
        block = f"{name}.resblocks"
        h = conv(f"{block}.conv1", silu(norm(f"{block}.norm1", x)), padding=1)
        h = h + linear(f"{block}.time.1", silu(embedding))[:, :, None, None]
        h = conv(f"{block}.conv2", silu(norm(f"{block}.norm2", h)), padding=1)
        x = h + (conv(f"{block}.skip", x) if f"{block}.skip.weight" in state else x)
        if f"{name}.attention.qkv.weight" not in state:
            return x
        flat = conv(f"{name}.attention.qkv", norm(f"{name}.attention.norm", x)).flatten(2)
        query, key, value = flat.chunk(3, dim=1)
        logits = torch.einsum("bcq,bck->bqk", query, key) / math.sqrt(query.shape[1])
        h = torch.einsum("bqk,bck->bcq", logits.softmax(-1), value)
        return x + conv(f"{name}.attention.out", h.reshape(x.shape))

    size = state["time.1.weight"].shape[1]
    frequencies = torch.exp(-math.log(10000) * 2 * torch.arange(size // 2) / size)
    angles = step[:, None] * frequencies
    embedding = torch.cat([torch.sin(angles), torch.cos(angles)], dim=1)
    embedding = linear("time.3", silu(linear("time.1", embedding)))

    kept = [conv("down1", x, padding=1)]
    index = 2
    while any(name.startswith(f"down{index}.") for name in state):
        residual = f"down{index}.resblocks.conv1.weight" in state
        last = kept[-1]
        kept.append(
            stage(f"down{index}", last)
            if residual
            else conv(f"down{index}.0", last, stride=2, padding=1)
        )
        index += 1
    x = stage("mid2", stage("mid1", kept[-1]))
    index = 1
    while any(name.startswith(f"up{index}.") for name in state):
        if f"up{index}.resblocks.conv1.weight" in state:
            x = stage(f"up{index}", torch.cat([x, kept.pop()], dim=1))
        else:
            wide = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
            x = conv(f"up{index}.1", wide, padding=1)
        index += 1
    return conv("out.2", silu(norm("out.0", x)), padding=1)
