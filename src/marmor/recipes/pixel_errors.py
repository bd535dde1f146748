"""Squared errors between images, told and written as a table."""

from collections.abc import Mapping
from pathlib import Path

from rich.table import Table
from torch import Tensor

from marmor.base.files import write_csv
from marmor.base.progress import console


def squared_error(image: Tensor, truth: Tensor) -> float:
    """Mean squared error of two uint8 images of one shape, on 0 … 255."""
    return (image.double() - truth.double()).square().mean().item()


def tell_errors(errors: Mapping[str, float], path: Path) -> None:
    """Prints the error of each image and their mean, and writes them as CSV."""
    table = Table("image", "mean squared error (0 … 255)", box=None)
    rows = [*errors.items(), ("mean", sum(errors.values()) / len(errors))]
    for name, value in rows:
        table.add_row(name, f"{value:.4f}")
    write_csv(path, [("image", "mse"), *rows])
    console.print(table)
    console.print(f"written: {path}")
