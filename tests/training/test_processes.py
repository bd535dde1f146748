"""Two CPU processes give the losses of one with the whole batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TRAIN = ("-m", "marmor", "train", "digits", "--steps", "8", "--batch", "16", "--precision", "fp32")
LAUNCH = (
    *("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
    *("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"),
    *("--main_process_port", "0"),
)


def losses(run: Path) -> list[float]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def test_two_processes_give_the_losses_of_one(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for launcher, name in (((), "one"), (LAUNCH, "two")):
        words = [sys.executable, *launcher, *TRAIN, "--data", "digits", "--run", name]
        subprocess.run(words, cwd=tmp_path, env=environment, check=True, timeout=180)
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == len(two) == 1
    assert one == pytest.approx(two, rel=1e-4)
