"""The printed model summary: what a network is made of, what comes out where, how many numbers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_DEPTH = 2
_HEADER = ("layer", "type", "output", "parameters")


@dataclass(frozen=True)
class Row:
    """One layer. ``shape`` is None where the layer was not called or gave no tensor."""

    name: str
    type: str
    shape: tuple[int, ...] | None
    parameters: int


def summarise(module: nn.Module, *example_inputs: Any) -> list[Row]:
    """The layers of ``module`` down to its grandchildren, in order of definition.

    The module is called once with ``example_inputs``, in evaluation mode and without gradients, and
    left in the modes it had. Each parameter is counted once, in the first layer that has it, so
    that the rows add up to the whole; parameters that belong to no layer have a row of their owner.
    """
    layers = dict(_layers(module))
    shapes = _output_shapes(module, layers, example_inputs)
    counted: set[int] = set()
    rows = []
    for name, layer in layers.items():
        opened = _is_opened(name, layer)
        parameters = _count_new(layer, not opened, counted)
        if parameters or not opened:
            title = name or "(itself)"
            rows.append(Row(title, type(layer).__name__, shapes.get(name), parameters))
    return rows


def format_summary(rows: list[Row]) -> str:
    """The rows as an aligned text table with a last line for the whole."""
    total = sum(row.parameters for row in rows)
    cells = [
        _HEADER,
        *((row.name, row.type, _shape(row.shape), f"{row.parameters:,}") for row in rows),
        ("in all", "", "", f"{total:,}"),
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [_line(row, widths) for row in cells]
    rule = "─" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Words to the left of their columns, the number in the last column to the right."""
    *words, number = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return "  ".join([*words, number.strip().rjust(widths[-1])])


def _layers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The module itself ("") and its descendants to the depth that is shown."""
    for name, layer in module.named_modules():
        if _depth(name) <= _DEPTH:
            yield name, layer


def _depth(name: str) -> int:
    return name.count(".") + 1 if name else 0


def _is_opened(name: str, layer: nn.Module) -> bool:
    """Whether the parts of ``layer`` are shown in its place."""
    return _depth(name) < _DEPTH and any(True for _ in layer.children())


def _count_new(layer: nn.Module, recurse: bool, counted: set[int]) -> int:
    """The size of the parameters not counted yet, which then are."""
    fresh = [p for p in layer.parameters(recurse) if id(p) not in counted]
    counted.update(map(id, fresh))
    return sum(p.numel() for p in fresh)


def _output_shapes(
    module: nn.Module, layers: Mapping[str, nn.Module], example_inputs: tuple[Any, ...]
) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}

    def remember(name: str, output: Any) -> None:
        first = output[0] if isinstance(output, (tuple, list)) and output else output
        if isinstance(first, Tensor):
            shapes[name] = tuple(first.shape)

    hooks = [
        layer.register_forward_hook(lambda _, __, output, name=name: remember(name, output))
        for name, layer in layers.items()
    ]
    modes = {layer: layer.training for layer in module.modules()}
    try:
        module.eval()
        with torch.no_grad():
            module(*example_inputs)
    finally:
        for hook in hooks:
            hook.remove()
        for layer, training in modes.items():
            layer.training = training
    return shapes


def _shape(shape: tuple[int, ...] | None) -> str:
    return "–" if shape is None else " × ".join(map(str, shape))
