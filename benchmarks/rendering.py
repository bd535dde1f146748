"""Pictures rendered in a second: scenes of objects and house numbers, on all cores.

    python benchmarks/rendering.py

Medians of several runs in turn, each of other pictures; writes rendering.json. Writing the files counts not.
"""

import statistics
import time
from pathlib import Path

import torch
import tyro

from marmor.base.files import write_json
from marmor.data import draw_lists, make_house_numbers
from marmor.data.scenes import make_scenes
from marmor.data.scenes.layout import MOST


def main(pictures: int = 1200, runs: int = 5, out: Path = Path("runs/benchmark-rendering")) -> None:
    """Times both makers.

    Args:
        pictures: rendered in a run, 64×64 scenes of one to three objects, 32×32 house numbers.
        runs: the median of so many is reported.
        out: folder for rendering.json.
    """
    makers = {"scenes": scenes, "house-numbers": make_house_numbers}
    for make in makers.values():
        make(pictures // 10, runs)  # fonts are loaded and threads started once
    rates: dict[str, list[float]] = {name: [] for name in makers}
    for seed in range(runs):
        for name, make in makers.items():
            began = time.perf_counter()
            made = make(pictures, seed)
            rates[name].append(len(made) / (time.perf_counter() - began))
    result = {"threads": torch.get_num_threads(), "pictures": pictures, "runs": runs}
    result |= {f"{name}.per_second": statistics.median(each) for name, each in rates.items()}
    write_json(out / "rendering.json", result)
    print(result)


def scenes(count: int, seed: int) -> torch.Tensor:
    """``count`` pictures of scenes that grow from one object to three."""
    lists = draw_lists(count // MOST, seed)
    whole = [objects for objects in lists.pictures.values() if len(objects) == MOST]
    return make_scenes(whole, seed, growing=[MOST] * len(whole))


if __name__ == "__main__":
    tyro.cli(main)
