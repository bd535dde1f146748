"""Training of class-conditional models: learning, epochs, and a SIGKILL in the middle."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from marmor.base.errors import UserError
from marmor.data import read
from marmor.recipes import digits
from marmor.recipes.asking import ask_classes
from marmor.recipes.drawing import as_images, draw
from marmor.recipes.models import load_generator, load_judge
from marmor.recipes.scoring import accuracy, judge_images
from marmor.recipes.training_images import load_images
from marmor.training import RunFolder, load_weights


def test_a_short_run_draws_what_is_asked(run: Path, judge_run: Path, data: Path) -> None:
    judge = load_judge(str(judge_run))
    real = read(str(data), "test")
    assert accuracy(judge, real, judge_images(judge, real)).overall.value > 0.95
    generator = load_generator(str(run))
    images = as_images(draw(generator, ask_classes(generator, 10), seed=9), generator)
    assert accuracy(judge, images, judge_images(judge, images)).overall.value > 0.9


def test_milestones_are_judged(run: Path) -> None:
    probed = [line for line in RunFolder(run).history() if "judge.accuracy" in line]
    assert len(probed) == 8
    assert probed[-1]["judge.accuracy"] > probed[0]["judge.accuracy"] - 0.1


AT_EVERY_STEP = """
import sys
from functools import partial
from marmor.cli import main
from marmor.recipes import diffusing
diffusing.LoopSettings = partial(diffusing.LoopSettings, checkpoint_seconds=0.0)
main(sys.argv[1:])
"""


def train_in_a_process(data: Path, run: Path) -> subprocess.Popen:
    """A run of 60 steps that saves a checkpoint after each of them."""
    command = [sys.executable, "-c", AT_EVERY_STEP, "train", "digits", "--data", str(data)]
    command += ["--run", str(run), "--steps", "60", "--batch", "16", "--precision", "fp32"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_a_run_killed_at_a_random_moment_resumes_to_the_same_weights(
    data: Path, tmp_path: Path
) -> None:
    assert train_in_a_process(data, tmp_path / "whole").wait() == 0
    killed = train_in_a_process(data, tmp_path / "killed")
    # The first logged step is written before its checkpoint: a busy machine shows the time between.
    while not any((tmp_path / "killed" / "checkpoints").glob("step-0000[2-6]?")):
        assert killed.poll() is None
        time.sleep(0.02)
    time.sleep(random.random() / 2)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    kept = RunFolder(tmp_path / "killed").checkpoints.load()
    assert kept is not None
    assert 20 <= kept.position["step"] <= 60
    digits.resume(RunFolder.open(tmp_path / "killed"))
    whole, again = (RunFolder(tmp_path / name) for name in ("whole", "killed"))
    for part in ("model", "average"):
        expected = load_weights(whole.checkpoints.latest() / f"{part}.safetensors")  # type: ignore[operator]
        found = load_weights(again.checkpoints.latest() / f"{part}.safetensors")  # type: ignore[operator]
        assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert [line["step"] for line in again.history()] == [20, 40, 60]
    losses = [[line["loss"] for line in run.history()] for run in (whole, again)]
    assert losses[0] == losses[1]


def test_a_run_goes_on_with_its_own_images_only(run: Path, tmp_path: Path, data: Path) -> None:
    other = RunFolder.create(tmp_path / "run", "digits", RunFolder(run).config["settings"])
    config = other.config
    config["settings"]["data"]["fingerprint"] = "0" * 32
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="changed since"):
        digits.resume(other)


def test_mixed_and_odd_sizes_are_brought_to_one_that_works(tmp_path: Path) -> None:
    for label, side in (("cat", 50), ("dog", 41)):
        (tmp_path / "mixed" / label).mkdir(parents=True)
        (tmp_path / "odd" / label).mkdir(parents=True)
        Image.new("RGB", (side, 30)).save(tmp_path / "mixed" / label / "1.png")
        Image.new("RGB", (22, 22)).save(tmp_path / "odd" / label / "1.png")
    mixed = load_images(str(tmp_path / "mixed"), None)
    assert mixed.size == (32, 32)
    assert mixed.notes
    assert load_images(str(tmp_path / "odd"), None).size == (24, 24)
    assert load_images(str(tmp_path / "odd"), 16).size == (16, 16)
