"""A small trained run and judge that the recipe tests share."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from marmor.cli import main
from marmor.data import ImageSet, write_splits
from marmor.personalization import projection_names, write_projections
from marmor.recipes import digits, judge
from marmor.recipes.learned import PROJECTIONS, told, write_words
from marmor.training import RunFolder


def blobs(count: int, seed: int) -> ImageSet:
    """Three classes at 16×16: a bright square in one of three places, noise around it."""
    stream = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    images = torch.randint(0, 60, (count, 3, 16, 16), generator=stream, dtype=torch.uint8)
    for index, label in enumerate(labels.tolist()):
        images[index, :, 5:11, 5 * label : 5 * label + 6] += 180
    return ImageSet(images, {"class": labels}, {"class": ("left", "middle", "right")})


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    write_splits({"train": blobs(120, 0), "test": blobs(60, 1)}, path)
    return path


@pytest.fixture(scope="session")
def train_judge(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Trains a judge of such images for a moment."""

    def train(data: Path) -> Path:
        path = tmp_path_factory.mktemp("runs") / "judge"
        judge.train(judge.JudgeSettings(data=(str(data),), run=path, steps=40, precision="fp32"))
        return path

    return train


@pytest.fixture(scope="session")
def judge_run(data: Path, train_judge: Callable[[Path], Path]) -> Path:
    return train_judge(data)


@pytest.fixture(scope="session")
def run(data: Path, judge_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "blobs"
    settings = digits.DigitsSettings(
        data=str(data), run=path, steps=160, batch=16, judge=str(judge_run), precision="fp32"
    )
    digits.train(settings)
    return path


@pytest.fixture(scope="session")
def tiny_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in i-CLEVR's layout, 36 pictures of 16×16."""
    path = tmp_path_factory.mktemp("scenes") / "scenes"
    main(["data", "make", "scenes", "--count", "12", "--size", "16", "--out", str(path)])
    return path


@pytest.fixture(scope="session")
def train_scene_judge(
    tiny_scenes: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[int], Path]:
    """Trains a judge of them from a seed, which learns next to nothing."""

    def train(seed: int) -> Path:
        path = tmp_path_factory.mktemp("runs") / "judge"
        words = ["--network", "small", "--size", "16", "--steps", "3", "--seed", str(seed)]
        main(["train", "scene-judge", "--data", str(tiny_scenes), *words, "--run", str(path)])
        return path

    return train


@pytest.fixture(scope="session")
def tiny_scene_judge(train_scene_judge: Callable[[int], Path]) -> Path:
    return train_scene_judge(0)


@pytest.fixture(scope="session")
def tiny_scene_model(
    tiny_scenes: Path, tiny_scene_judge: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model that draws such scenes, trained for a moment."""
    path = tmp_path_factory.mktemp("runs") / "scenes"
    words = ["--size", "16", "--steps", "6", "--batch", "4", "--judge", str(tiny_scene_judge)]
    main(["train", "iclevr", "--data", str(tiny_scenes), "--run", str(path), *words])
    return path


@pytest.fixture
def interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[type, int], AbstractContextManager[None]]:
    """(method, step) → a context in which Ctrl-C is pressed while that step is drawn."""

    @contextmanager
    def pressed(method: type, at: int) -> Iterator[None]:
        drawn = method.draw

        def stop(self, step: int, turn: int = 0):
            if step == at:
                signal.raise_signal(signal.SIGINT)
            return drawn(self, step, turn)

        with monkeypatch.context() as patch:
            patch.setattr(method, "draw", stop)
            yield

    return pressed


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[[Callable[[], object]], str]:
    """A call that ends a command with status 2 → what it said, in one line."""

    def said_by(call: Callable[[], object]) -> str:
        with pytest.raises(SystemExit) as ended:
            call()
        assert ended.value.code == 2
        said = "".join(capsys.readouterr())
        assert "Traceback" not in said
        return " ".join(said.split())

    return said_by


@pytest.fixture
def concepts(tmp_path: Path) -> tuple[str, ...]:
    """Two new words with three photos each, one red and one blue thing."""
    for name, colour in (("one", (200, 30, 30)), ("two", (30, 30, 200))):
        (tmp_path / name).mkdir()
        for number in range(3):
            image = Image.new("RGB", (24, 20), colour)
            image.putpixel((number, number), (255, 255, 255))
            image.save(tmp_path / name / f"{number}.png")
    return f"<new1>={tmp_path / 'one'}", f"<new2>={tmp_path / 'two'}"


def _normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _moved(unet: Any, seed: int) -> dict[str, torch.Tensor]:
    own = dict(unet.named_parameters())
    names = projection_names(unet)
    return {
        n: own[n].detach() + 0.2 * _normal(*own[n].shape, seed=seed + i)
        for i, n in enumerate(names)
    }


@pytest.fixture
def make(pipeline: Any, pipeline_folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """A finished run of custom-diffusion, as if it had been trained."""

    def made(
        name: str, words: dict[str, torch.Tensor], seed: int | None, folder: Path = pipeline_folder
    ) -> Path:
        files = [] if seed is None else [PROJECTIONS]
        config = {"asked": {}, **told(folder, list(words), files)}
        run = RunFolder.create(tmp_path / name, "custom-diffusion", config)
        write_words(run, words)
        if seed is not None:
            write_projections(run.path / PROJECTIONS, pipeline.unet, _moved(pipeline.unet, seed))
        return run.path

    return made


@pytest.fixture
def two(make: Callable[..., Path]) -> tuple[Path, Path]:
    """Runs whose names hold each other; one word has two vectors."""
    first = make("first", {"<art>": _normal(2, 32, seed=1)}, 10)
    return first, make("second", {"<cart>": _normal(1, 32, seed=2)}, 50)
