"""Seconds to draw: the shipped digits against ContextUnet with 400 DDPM steps, a U-Net against diffusers.

    python benchmarks/sampling.py

ContextUnet (n = 128, fp32, the public script's network and sampler, random weights: its speed does
not depend on them) is timed over a few of its 400 steps and a part of the images, and multiplied up,
since the whole would take hours; the page says so. `against_diffusers.py` is the second part. Medians of
several runs.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import tyro

from against_diffusers import compare
from marmor.base.conditions import ClassLabel
from marmor.base.files import write_json
from marmor.recipes.asking import ask_classes
from marmor.recipes.denoising import DiffusionGenerator
from marmor.recipes.designs import DESIGNS, PUBLISHED_STEPS
from marmor.recipes.drawing import draw
from marmor.recipes.models import load_diffusion

IMAGES = 1000
CLASSES = 10


def main(
    model: str = "pretrained:digits",
    runs: int = 3,
    peer_steps: int = 2,
    peer_images: int = 100,
    out: Path = Path("runs/benchmark-sampling"),
) -> None:
    """Times all of them and writes sampling.json.

    Args:
        model: the model that is timed.
        runs: the median of so many is reported.
        peer_steps: of ContextUnet's 400 steps, this many are timed.
        peer_images: of its 1,000 images, this many are drawn.
        out: folder for sampling.json.
    """
    ours = load_diffusion(model)
    by_calls = {
        steps: median(runs, lambda steps=steps: seconds(with_steps(ours, steps), IMAGES))
        for steps in (8, ours.drawing.steps, 20)
    }
    part = median(runs, lambda: seconds(with_steps(peer(), peer_steps), peer_images, "fp32"))
    theirs = part * PUBLISHED_STEPS / peer_steps * IMAGES / peer_images
    result = {
        "images": IMAGES,
        "seconds.by_calls": by_calls,
        "seconds": by_calls[ours.drawing.steps],
        "peer.seconds.extrapolated": theirs,
        "peer.seconds.measured": part,
        "ratio": theirs / by_calls[ours.drawing.steps],
        **compare(),
    }
    write_json(out / "sampling.json", result)
    for name, value in result.items():
        print(f"{name}: {value}")


def peer() -> DiffusionGenerator:
    """ContextUnet as the public script samples it."""
    design, shape = DESIGNS["context-unet"], (3, 28, 28)
    torch.manual_seed(0)
    names = tuple(map(str, range(CLASSES)))
    denoiser = design.build(shape, {"class": ClassLabel(CLASSES)}).eval()
    return DiffusionGenerator(denoiser, {"class": names}, shape, design.drawing, "public recipe")


def with_steps(generator: DiffusionGenerator, steps: int) -> DiffusionGenerator:
    return replace(generator, drawing=replace(generator.drawing, steps=steps))


def seconds(generator: DiffusionGenerator, images: int, precision: str = "auto") -> float:
    started = time.perf_counter()
    draw(generator, ask_classes(generator, images // CLASSES), 0, precision)  # type: ignore[arg-type]
    return time.perf_counter() - started


def median(runs: int, measured: Callable[[], float]) -> float:
    return statistics.median(measured() for _ in range(runs))


if __name__ == "__main__":
    tyro.cli(main)
