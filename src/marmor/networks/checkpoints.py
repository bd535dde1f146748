"""Reading strangers' weights: guarded, and every failure one sentence for a person."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from marmor.base.errors import UserError
from marmor.base.tensors import read_guarded

State = dict[str, Tensor]
Kind = Literal["context-unet", "unet", "course-judge", "digit-judge"]
Signature = dict[str, tuple[int | None, ...]]

# The weights that tell one architecture from the others; None is a size that its owner may choose.
SIGNATURES: dict[Kind, Signature] = {
    "context-unet": {
        "init_conv.conv1.0.weight": (None, None, 3, 3),
        "timeembed1.model.0.weight": (None, 1),
        "contextembed1.model.0.weight": (None, None),
        "up0.0.weight": (None, None, None, None),
        "out.3.weight": (None, None, 3, 3),
    },
    "unet": {
        "time.1.weight": (None, None),
        "down1.weight": (None, None, 3, 3),
        "mid1.resblocks.conv1.weight": (None, None, 3, 3),
        "mid1.attention.qkv.weight": (None, None, 1, 1),
        "up1.resblocks.conv1.weight": (None, None, 3, 3),
        "out.2.weight": (None, None, 3, 3),
    },
    "course-judge": {
        "conv1.weight": (6, 3, 5, 5),
        "conv2.weight": (16, 6, 5, 5),
        "fc1.weight": (128, 256),
        "fc2.weight": (64, 128),
        "fc3.weight": (10, 64),
    },
    "digit-judge": {
        "body.0.0.weight": (None, None, 3, 3),
        "body.0.1.running_mean": (None,),
        "head.weight": (None, None),
    },
}

# Where training scripts put the weights, the averaged ones first: they are the ones to use.
_WRAPPERS = ("ema", "model", "state_dict", "model_state_dict")


def load_state(path: Path) -> State:
    """The weights in a file, on the CPU, without running anything that the file holds.

    Weights one or more levels down under "ema", "model", "state_dict" or "model_state_dict" are
    found (the averaged ones first), entries beside them that are no tensors are left out, and the
    ``module.`` that DistributedDataParallel puts before every name is taken off.

    Raises UserError for a file that is missing, empty, cut short or damaged, that holds code, or
    that holds no tensors.
    """
    state = _tensors(read_guarded(path, "checkpoint"))
    if not state:
        raise UserError(f"checkpoint {path} holds no named tensors; save model.state_dict().")
    if all(name.startswith("module.") for name in state):
        return {name.removeprefix("module."): value for name, value in state.items()}
    return state


def load_into(module: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Copies ``state`` into ``module`` when every name and shape agrees, and nothing otherwise.

    ``what`` names the weights in the error, e.g. their path. Values are converted to the module's
    types. Raises UserError naming the first weight that is missing, left over or of another shape.
    """
    problem = _difference(module.state_dict(), state)
    if problem:
        raise UserError(f"{what} does not fit {type(module).__name__}: {problem}.")
    module.load_state_dict(dict(state))


def fingerprint(module: nn.Module) -> str:
    """32 hex digits for the names and values of a module's weights."""
    digest = hashlib.blake2b(digest_size=16)
    for name, value in module.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def recognise(state: Mapping[str, Tensor]) -> Kind:
    """Which known network these weights belong to, with or without the prefix ``nn_model.``.

    Raises UserError with the nearest known network and its first weight that differs.
    """
    bare = without_prefix(state, "nn_model.")
    differing: dict[Kind, list[str]] = {
        kind: _differing(bare, signature) for kind, signature in SIGNATURES.items()
    }
    nearest = min(differing, key=lambda kind: len(differing[kind]) / len(SIGNATURES[kind]))
    if not differing[nearest]:
        return nearest
    name = differing[nearest][0]
    expected = " × ".join("any" if n is None else str(n) for n in SIGNATURES[nearest][name])
    found = f"it is {_shape(bare[name])}" if name in bare else "it is missing"
    raise UserError(
        f"these weights belong to no known network ({', '.join(SIGNATURES)}): the nearest is "
        f"{nearest}, which has {name!r} of shape {expected}, but here {found}."
    )


def without_prefix(state: Mapping[str, Tensor], prefix: str) -> State:
    """``state`` with ``prefix`` taken off the names that have it."""
    return {name.removeprefix(prefix): value for name, value in state.items()}


def _tensors(content: Any, levels: int = 3) -> State:
    """The named tensors of what a file held, from inside at most so many levels of wrappers."""
    if not isinstance(content, Mapping):
        return {}
    # A pickle can hold a mapping that wraps itself, hence the limit.
    inner = [content.get(wrapper) for wrapper in _WRAPPERS] if levels else []
    wrapped = (_tensors(value, levels - 1) for value in inner)
    own = {
        name: value.detach()
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
    return next(filter(None, wrapped), own)


def _difference(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str | None:
    """The first difference between two sets of weights in words, or None."""
    for name, value in expected.items():
        if name not in found:
            return f"{name!r} is missing"
        if found[name].shape != value.shape:
            return f"{name!r} should be {_shape(value)} but is {_shape(found[name])}"
    left_over = next((name for name in found if name not in expected), None)
    return f"{left_over!r} is not part of it" if left_over else None


def _differing(state: State, signature: Signature) -> list[str]:
    """The names of a signature that ``state`` lacks or has in another shape."""
    return [
        name
        for name, shape in signature.items()
        if name not in state or not _agrees(state[name].shape, shape)
    ]


def _agrees(found: torch.Size, expected: tuple[int | None, ...]) -> bool:
    return len(found) == len(expected) and all(
        wanted in (None, size) for size, wanted in zip(found, expected, strict=True)
    )


def _shape(value: Tensor) -> str:
    return " × ".join(map(str, value.shape)) or "a single number"
