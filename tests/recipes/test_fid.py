"""FID from two folders to the figure, against torch-fidelity's of the same files and weights."""

import os
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from marmor.recipes.evaluating import EvaluationSettings, evaluate

GIVEN = "MARMOR_INCEPTION"
"""The environment variable that names the published state dict of the FID network."""
COUNT = 500


@pytest.fixture(params=["random", "published"])
def weights(request: pytest.FixtureRequest, inception: nn.Module, tmp_path: Path) -> Path:
    """A state dict of the FID network: a random one, and the one that a person gives."""
    if request.param == "random":
        path = tmp_path / "pt_inception-2015-12-05-6726825d.pth"
        torch.save(inception.state_dict(), path)
        return path
    if GIVEN not in os.environ:
        pytest.skip(f"{GIVEN} names no file of the FID network's weights")
    return Path(os.environ[GIVEN])


def _clouds(seed: int, contrast: float) -> Tensor:
    """uint8 (COUNT, 3, 64, 64), smooth in places and rough in others, as photographs are."""
    stream = torch.Generator().manual_seed(seed)
    coarse = torch.randn(COUNT, 3, 6, 6, generator=stream)
    fine = torch.randn(COUNT, 3, 32, 32, generator=stream)
    sizes = {"size": (64, 64), "mode": "bilinear", "align_corners": False}
    wide, rough = (torch.nn.functional.interpolate(x, **sizes) for x in (coarse, fine))
    return (128 + contrast * (60 * wide + 15 * rough)).round().clamp(0, 255).byte()


def _saved(images: Tensor, folder: Path) -> str:
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{number:03d}.png")
    return str(folder)


@pytest.mark.slow
def test_fid_of_two_folders_is_torch_fidelitys(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fidelity = pytest.importorskip("torch_fidelity")
    monkeypatch.setenv("MARMOR_CACHE", str(tmp_path / "cache"))
    real = _saved(_clouds(0, 1.0), tmp_path / "real")
    drawn = _saved(_clouds(1, 0.7), tmp_path / "drawn")
    found = evaluate(drawn, EvaluationSettings(real, f"inception:{weights}"))
    expected = fidelity.calculate_metrics(
        input1=drawn,
        input2=real,
        cuda=False,
        fid=True,
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(weights),
        cache=False,
        verbose=False,
    )["frechet_inception_distance"]
    # Same images give 0 by both, so these must not be the same.
    assert expected > 0.01
    assert found.figures["frechet.inception"].value == pytest.approx(expected, rel=1e-3)
