"""Key and value projections of cross-attention, and the files in which diffusers keeps them.

Kumari et al. 2023 train these and nothing else of the U-Net: they are all that reads the text.
"""

import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.files import atomic
from marmor.base.tensors import read_guarded
from marmor.personalization.embedding_files import SUFFIXES

MARK = "custom_diffusion"
"""What diffusers writes into the name of each tensor."""
WHAT = "file of Custom Diffusion"
_PROJECTION = re.compile(r"(?:.+\.)?attn2\.to_[kv]\.weight")
_KEPT = re.compile(rf"(.+)\.processor\.(to_[kvq]|to_out)_{MARK}(\.0)?\.(weight|bias)")


def projection_names(unet: Any) -> list[str]:
    """The weights of the key and value projections of every cross-attention layer.

    Raises UserError for a network that has none.
    """
    names = [name for name, _ in unet.named_parameters() if _PROJECTION.fullmatch(name)]
    if not names:
        raise UserError(
            "the pipeline's U-Net has no cross-attention, so no words reach it; take another pipeline."
        )
    return names


def is_projection(name: str) -> bool:
    """Whether a weight of a U-Net projects text to keys or values."""
    return bool(_PROJECTION.fullmatch(name))


def write_projections(path: Path, unet: Any, weights: dict[str, Tensor]) -> None:
    """Writes ``weights`` of a U-Net, by their names there, in the layout of diffusers, whole or not at all.

    The file's ending says how: ``.safetensors``, or ``.bin`` for torch. diffusers counts the attention layers
    of a file, self-attention too, so layers without weights get a place as well: in torch's files nothing, in
    safetensors, which cannot hold nothing, an empty tensor. Raises UserError for other endings and where the
    disk refuses.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path} should end in {' or '.join(SUFFIXES)}.")
    tensors = {_kept_name(name): v.detach().cpu().contiguous() for name, v in weights.items()}
    full = {name.split(".to_")[0] for name in tensors}
    empty = [name for name in unet.attn_processors if name not in full]
    with atomic(path) as temporary:
        if path.suffix == ".safetensors":
            save_file({**tensors, **{name: torch.empty(0) for name in empty}}, temporary)
        else:
            torch.save({**tensors, **{name: {} for name in empty}}, temporary)


def read_projections(path: Path) -> dict[str, Tensor]:
    """The weights in a file of diffusers' Custom Diffusion, by their names in the U-Net.

    Also reads files whose queries and outputs were trained. Raises UserError for files that cannot be read,
    hold code, or hold anything else.
    """
    held = read_guarded(path, WHAT)
    found = {}
    for name, values in held.items() if isinstance(held, dict) else ():
        if _untrained(values):
            continue
        match = _KEPT.fullmatch(str(name))
        if not match or not isinstance(values, Tensor) or not values.is_floating_point():
            found = {}
            break
        layer, part, number, kind = match.groups()
        found[f"{layer}.{part}{number or ''}.{kind}"] = values.float()
    if not found:
        raise UserError(
            f"{path} should hold weights of attention by the names of diffusers' Custom Diffusion, such as "
            f"….attn2.processor.to_k_{MARK}.weight."
        )
    return found


def _untrained(values: object) -> bool:
    """Whether a layer of a file was not trained, and holds its place alone."""
    return values == {} or (isinstance(values, Tensor) and values.numel() == 0)


def _kept_name(name: str) -> str:
    """….attn2.to_k.weight → ….attn2.processor.to_k_custom_diffusion.weight, and to_out.0 likewise."""
    layer, _, projection = name.rpartition(".to_")
    part, _, rest = projection.partition(".")
    return f"{layer}.processor.to_{part}_{MARK}.{rest}"
