"""LoRA (Hu et al. 2022) on the attention of a U-Net: low-rank weights beside its own, through peft."""

from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.files import atomic
from marmor.base.tensors import read_guarded

WHAT = "LoRA file"
Where = Literal["cross", "all"]
LAYERS: dict[Where, str] = {"cross": "attn2", "all": "attn[12]"}
_ADAPTER = ".default"
"""What peft writes into the names of weights of the one adapter that is not named."""


def require_peft() -> None:
    """UserError without peft."""
    try:
        import peft  # noqa: F401
    except ImportError:
        raise UserError("LoRA needs peft; install it with: pip install 'marmor[hub]'") from None


def add_low_rank(unet: Any, rank: int, where: Where, seed: int) -> list[str]:
    """Puts low-rank weights beside the projections of attention; the names of those weights.

    Queries, keys, values and outputs of cross-attention, or of all attention. The product of the two
    matrices is added as it is (alpha is the rank), and is zero at first: nothing changes before training.
    Raises UserError for a network without such layers.
    """
    from peft import LoraConfig

    targets = rf".*{LAYERS[where]}\.(to_q|to_k|to_v|to_out\.0)"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=targets))
        except ValueError as error:
            raise UserError(
                "the pipeline's U-Net has no attention that LoRA could be put beside; take another pipeline."
            ) from error
    return [name for name, _ in unet.named_parameters() if ".lora_" in name]


def write_low_rank(path: Path, weights: dict[str, Tensor]) -> None:
    """Writes low-rank weights of a U-Net in the layout of diffusers, whole or not at all."""
    tensors = {
        f"unet.{name.replace(_ADAPTER, '')}": values.detach().cpu().contiguous()
        for name, values in weights.items()
    }
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})


def read_low_rank(path: Path) -> dict[str, Tensor]:
    """The weights of a LoRA file as they are, by the names of diffusers or of others.

    Raises UserError for files that cannot be read, hold code, or hold anything else.
    """
    held = read_guarded(path, WHAT)
    if (
        not isinstance(held, dict)
        or not held
        or not all("lora" in str(name) and isinstance(v, Tensor) for name, v in held.items())
    ):
        raise UserError(f"{path} should hold weights of LoRA by name, as diffusers saves them.")
    return held
