"""Accuracies of `marmor adapt` on real pairs: every seed a process of its own, one table a pair.

    python benchmarks/adaptation_pairs.py --mnist mnist.npz --photos bsds500_train --usps usps.npz \\
        --mnist-m-test mnist_m_test.npz --pairs usps --methods all

Makes MNIST-M and house numbers from MNIST and the photographs where they are not made yet. Every seed
also draws which images are held out, and which of published MNIST-M are tested. What is
finished is kept: the same command goes on where it stopped. Writes table.csv and table.txt for each pair.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import tyro

from marmor.base.files import read_json
from marmor.recipes.adapt import results_in
from marmor.recipes.adapt_page import COLUMNS, rows_of
from marmor.recipes.tables import show_table
from marmor.training import RunFolder

EPOCHS = {"mnist-m": 12}
"""Where accuracy still rises after each method's own six."""
PairName = Literal["usps", "house-numbers", "mnist-m", "carried-over"]


def main(
    mnist: Path,
    photos: Path,
    usps: Path,
    mnist_m_test: Path,
    pairs: tuple[PairName, ...] = ("usps", "house-numbers", "mnist-m", "carried-over"),
    methods: str = "best,dann,dann-augmented,source-augmented",
    seeds: int = 3,
    at_once: int = 2,
    out: Path = Path("runs/benchmark-pairs"),
) -> None:
    """Runs and tells them all.

    Args:
        mnist: MNIST as .npz, with its test split.
        photos: the folder of photographs that MNIST-M is made on.
        usps: USPS as .npz, with its test split.
        mnist_m_test: the published test images of MNIST-M, of which a fifth is tested.
        pairs: usps and house-numbers from MNIST-M; mnist-m from MNIST; carried-over, which no setting was
            chosen on, from house numbers to MNIST-M.
        methods: as `marmor adapt --method` takes them.
        seeds: runs of each pair.
        at_once: runs at a time, each on its share of the cores.
        out: folder for data, runs and tables.
    """
    made = {name: out / "data" / f"{name}.npz" for name in ("mnist-m", "house-numbers")}
    recipes = {
        "mnist-m": ["mnist-m", "--digits", str(mnist), "--photos", str(photos)],
        "house-numbers": ["house-numbers"],
    }
    for name, path in made.items():
        if not path.is_file():
            marmor("data", "make", *recipes[name], "--out", str(path))
    every: dict[PairName, tuple[Path, Path]] = {
        "usps": (made["mnist-m"], usps),
        "house-numbers": (made["mnist-m"], made["house-numbers"]),
        "mnist-m": (mnist, mnist_m_test),
        "carried-over": (made["house-numbers"], mnist_m_test),
    }
    jobs = [(name, seed) for name in pairs for seed in range(seeds)]

    def adapt(job: tuple[PairName, int]) -> None:
        name, seed = job
        source, target = every[name]
        run = folder(out, name, seed)
        if run.exists():
            began = read_json(run / "config.json")["settings"]["asked"]["method"]
            if began != methods:
                raise SystemExit(f"{run} was begun with --methods {began}; go on with them.")
            marmor("resume", str(run), share=at_once)
            return
        epochs = ["--epochs", str(EPOCHS[name])] if name in EPOCHS else []
        asked = ["--method", methods, "--seeds", "1", "--seed", str(seed), "--run", str(run)]
        marmor(
            "adapt",
            "--source",
            str(source),
            "--target",
            str(target),
            *asked,
            *epochs,
            share=at_once,
        )

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(adapt, jobs))
    for name in pairs:
        found = [results_in(RunFolder(folder(out, name, seed))) for seed in range(seeds)]
        print(f"{name}: {every[name][0]} → {every[name][1]}, seeds 0 to {seeds - 1}")
        rows = rows_of([result for results in found for result in results])
        show_table(COLUMNS, [row.cells() for row in rows], out / name)


def folder(out: Path, pair: PairName, seed: int) -> Path:
    return out / pair / f"seed-{seed}"


def marmor(*words: str, share: int = 1) -> None:
    """A command of marmor on a share of the cores; raises CalledProcessError where it fails."""
    threads = str(max(1, (os.cpu_count() or 1) // share))
    environment = {**os.environ, "OMP_NUM_THREADS": threads}
    subprocess.run([sys.executable, "-m", "marmor", *words], env=environment, check=True)


if __name__ == "__main__":
    tyro.cli(main)
