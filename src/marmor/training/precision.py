"""Which number format a machine trains in."""

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Literal

import torch

Precision = Literal["auto", "fp32", "bf16"]
NumberFormat = Literal["fp32", "bf16"]


def resolve(precision: Precision, device: torch.device) -> NumberFormat:
    """``auto`` is bf16 where the hardware multiplies it faster than fp32, else fp32."""
    return faster(device) if precision == "auto" else precision


@cache
def faster(device: torch.device) -> NumberFormat:
    """The format that the hardware multiplies faster; bf16 without instructions of its own is far slower."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "fp32"
    return "fp32"


def autocast(precision: NumberFormat, device: torch.device) -> AbstractContextManager[object]:
    """The context that a forward pass runs in."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)
