"""Evaluation of two folders against torch-fidelity: the same Inception network, time and peak memory.

    python benchmarks/metrics.py --count 2000

Both read the same PNG files and give the Fréchet distance, the kernel distance, precision and recall;
marmor also gives density, coverage and an interval for each. Every run is a process of its own, in turn,
so that both see the same machine and its memory can be told apart. The network has random weights, which
take as long as trained ones. Then marmor again, from its cache.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from PIL import Image
from torch import nn

from marmor.base.files import write_json
from marmor.base.seeds import torch_stream
from marmor.data import read

WEIGHTS = "pt_inception-2015-12-05-6726825d.pth"


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Args:
        count: images in each folder.
        pairs: runs of each.
        data: images to write into the folders, the first half of them as generated ones; noise when left out.
        training: training images that copies are looked for among, in marmor's runs alone.
        faces: also count faces, in marmor's runs alone.
        out: the JSON to write: every run, medians and ratios.
        one: what a process of its own runs: marmor or torch-fidelity; for the benchmark itself.
        folder: where the folders and weights lie, then.
    """

    count: int = 2000
    pairs: int = 3
    data: str | None = None
    training: str | None = None
    faces: bool = False
    out: Path | None = None
    one: str | None = None
    folder: Path = Path()


def main(settings: Settings) -> None:
    if settings.one is not None:
        RUNS[settings.one](settings)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(settings, folder)
        found: dict[str, list[dict[str, float]]] = {
            "marmor": [],
            "torch-fidelity": [],
            "cached": [],
        }
        for pair in range(settings.pairs):
            for run in ("marmor", "torch-fidelity"):
                found[run].append(apart(settings, run, folder, f"cache-{pair}"))
            found["cached"].append(apart(settings, "marmor", folder, f"cache-{pair}"))
    tell(found, settings.out)


def apart(settings: Settings, run: str, folder: Path, cache: str) -> dict[str, float]:
    """Seconds and peak memory of one run in a process of its own."""
    environment = {**os.environ, "MARMOR_CACHE": str(folder / cache)}
    words = [sys.executable, __file__, "--one", run, "--folder", str(folder)]
    words += ["--training", settings.training] if settings.training else []
    words += ["--faces"] if settings.faces else []
    done = subprocess.run(words, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    row = json.loads(done.stdout.splitlines()[-1])
    print(run, row, flush=True)
    return row


def tell(found: dict[str, list[dict[str, float]]], out: Path | None) -> None:
    """Medians and ratios, printed and written."""
    median = {
        run: {key: statistics.median(row[key] for row in rows) for key in ("seconds", "megabytes")}
        for run, rows in found.items()
    }
    for run, row in median.items():
        print(f"{run:<16} {row['seconds']:8.1f} s  {row['megabytes']:8.0f} MB")
    ours, peer, cached = (median[run]["seconds"] for run in ("marmor", "torch-fidelity", "cached"))
    print(
        f"torch-fidelity / marmor: {peer / ours:.2f}; marmor / from the cache: {ours / cached:.1f}"
    )
    if out is not None:
        ratios = {"torch-fidelity/marmor": peer / ours, "marmor/cached": ours / cached}
        write_json(out, {"runs": found, "medians": median, "ratios": ratios})


def prepare(settings: Settings, folder: Path) -> None:
    """Two folders of PNG files, and a file of weights in the published form."""
    stream = torch_stream(0, "benchmark")
    needed = 2 * settings.count
    if settings.data is None:
        images = torch.randint(0, 256, (needed, 3, 64, 64), generator=stream).byte()
    else:
        images = read(settings.data).colour().images[:needed]
    for part, name in zip(images.tensor_split(2), ("generated", "real"), strict=True):
        (folder / name).mkdir()
        for number, image in enumerate(part):
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / name / f"{number}.png")
    torch.save(random_weights(), folder / WEIGHTS)


def random_weights() -> dict[str, torch.Tensor]:
    """A state dict of the FID network that nobody has trained."""
    from torch_fidelity import feature_extractor_inceptionv3 as published

    class Blank(published.FeatureExtractorInceptionV3):
        def load_state_dict(self, state_dict, strict=True, assign=False):
            return None

    with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        torch.save({}, file.name)
        network: nn.Module = Blank("blank", ["2048"], feature_extractor_weights_path=file.name)
    torch.manual_seed(0)
    for parameter in network.parameters():
        if parameter.ndim == 4:
            nn.init.kaiming_normal_(parameter)
    return network.state_dict()


def marmor(asked: Settings) -> None:
    from marmor.recipes.evaluating import EvaluationSettings, evaluate

    began, folder = time.monotonic(), asked.folder
    settings = EvaluationSettings(
        str(folder / "real"),
        f"inception:{folder / WEIGHTS}",
        training=asked.training,
        faces=asked.faces,
    )
    found = evaluate(str(folder / "generated"), settings)
    report(began, found.figures["frechet.inception"].value)


def torch_fidelity(asked: Settings) -> None:
    from torch_fidelity import calculate_metrics

    began, folder = time.monotonic(), asked.folder
    count = len(list((folder / "real").iterdir()))
    found = calculate_metrics(
        input1=str(folder / "generated"),
        input2=str(folder / "real"),
        cuda=False,
        fid=True,
        kid=True,
        prc=True,
        feature_extractor="inception-v3-compat",  # its own choice for precision and recall is VGG
        kid_subset_size=min(1000, count),
        feature_extractor_weights_path=str(folder / WEIGHTS),
        cache=False,
        verbose=False,
    )
    report(began, found["frechet_inception_distance"])


RUNS = {"marmor": marmor, "torch-fidelity": torch_fidelity}


def report(began: float, distance: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps({"seconds": time.monotonic() - began, "megabytes": peak, "distance": distance})
    )


if __name__ == "__main__":
    main(tyro.cli(Settings))
