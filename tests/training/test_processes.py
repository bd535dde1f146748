"""Two CPU processes give the losses of one with the whole batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from marmor.data.scenes import write_captioned

TRAIN = ("-m", "marmor", "train", "digits", "--steps", "8", "--batch", "16", "--precision", "fp32")
LAUNCH = (
    *("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
    *("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"),
    *("--main_process_port", "0"),
)


def losses(run: Path) -> list[float]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def launched(folder: Path, *words: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole = [sys.executable, *words]
    subprocess.run(whole, cwd=folder, env=environment, check=True, timeout=180)


def test_two_processes_give_the_losses_of_one(tmp_path: Path) -> None:
    for launcher, name in (((), "one"), (LAUNCH, "two")):
        launched(tmp_path, *launcher, *TRAIN, "--data", "digits", "--run", name)
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == len(two) == 1
    assert one == pytest.approx(two, rel=1e-4)


def test_two_processes_share_pairs_and_one_of_them_writes_the_model(tmp_path: Path) -> None:
    hub = pytest.importorskip("transformers")
    write_captioned(12, 1, tmp_path / "scenes", seed=0, side=16, watch=lambda share: None)
    train = ("-m", "marmor", "train", "tiny-clip", "--steps", "2", "--batch", "4")
    launched(tmp_path, *LAUNCH, *train, "--data", "scenes", "--run", "clip")
    (loss,) = losses(tmp_path / "clip")
    assert 0 < loss < 3
    assert hub.CLIPModel.from_pretrained(tmp_path / "clip" / "clip").config.vision_config
    assert not list((tmp_path / "clip").glob(".*"))  # nothing half-written
