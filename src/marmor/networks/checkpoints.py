"""Reading strangers' weights: guarded, and every failure one sentence for a person."""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from marmor.base.errors import UserError

State = dict[str, Tensor]
Kind = Literal["context-unet", "course-judge", "digit-judge"]
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

    ``.safetensors`` is read by safetensors, everything else by ``torch.load(weights_only=True)``.
    Weights one or more levels down under "ema", "model", "state_dict" or "model_state_dict" are
    found (the averaged ones first), entries beside them that are no tensors are left out, and the
    ``module.`` that DistributedDataParallel puts before every name is taken off.

    Raises UserError for a file that is missing, empty, cut short or damaged, that holds code, or
    that holds no tensors.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise UserError(f"checkpoint {path} does not exist.") from None
    except OSError as error:
        raise _unreadable(path, error) from error
    if not path.is_file():
        raise UserError(f"checkpoint {path} is not a file; name the file with the weights.")
    if size == 0:
        raise UserError(f"checkpoint {path} is empty; copy or save it again.")
    content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    state = _tensors(content)
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


def _read_safetensors(path: Path) -> State:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error


def _read_torch(path: Path) -> Any:
    try:
        with warnings.catch_warnings(action="ignore"):  # the error below says it in one sentence
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # Damaged files come as KeyError, IndexError, EOFError, RuntimeError, OSError and others.
        raise _with_code(path, error) or _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UserError:
    if isinstance(error, PermissionError):
        return UserError(f"checkpoint {path} may not be read: permission denied.")
    return UserError(
        f"checkpoint {path} is cut short, damaged or not a checkpoint; copy or save it again."
    )


def _with_code(path: Path, error: Exception) -> UserError | None:
    """The error for a file that was refused because opening it would run what it says."""
    named = re.search(r"GLOBAL (\S+)", str(error))
    if named:
        code = f"code ({named[1]})"
    elif "TorchScript" in str(error):
        code = "code (TorchScript)"
    elif isinstance(error, UnpicklingError) and _is_pickle(path):
        # Pickle protocols after 2, which torch.save does not write, are refused unread.
        code = "a plain pickle, which may be code,"
    else:
        return None
    return UserError(
        f"checkpoint {path} holds {code} and was not run; save only model.state_dict()."
    )


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1) == b"\x80"


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
