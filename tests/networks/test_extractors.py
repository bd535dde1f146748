"""Measuring instruments: their sizes, ranges and weights, and files that are not theirs."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from marmor.base.errors import UserError
from marmor.base.pixels import to_unit
from marmor.networks.extractors import (
    EfficientNetLite0,
    JudgeFeatures,
    Pixels,
    ScriptedInception,
    load_inception,
)
from marmor.networks.judges import DigitJudge


def _images(count: int, channels: int = 3, side: int = 32) -> Tensor:
    stream = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, channels, side, side), generator=stream).byte()


def test_pixels_are_the_images() -> None:
    images = _images(2, side=4)
    assert Pixels(4).dimension == 48
    assert Pixels(4)(images).equal(to_unit(images).flatten(1))
    assert Pixels(4)(images[:, :1]).shape == (2, 48)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_judge_lends_its_features(channels: int) -> None:
    judge = DigitJudge(5, channels).eval()
    grey = _images(2, 1, 28)
    seen = grey if channels == 1 else grey.expand(-1, 3, -1, -1)
    assert JudgeFeatures(judge)(grey).equal(judge.features(to_unit(seen)))


def test_a_judge_of_grey_images_reads_no_colours() -> None:
    with pytest.raises(UserError, match="1 channels"):
        JudgeFeatures(DigitJudge(5, 1).eval())(_images(2, 3, 28))


@torch.inference_mode()
def test_efficientnet_knows_a_cat_so_it_is_fed_as_it_was_trained() -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    data = pytest.importorskip("skimage.data")
    network = EfficientNetLite0()
    cat = torch.from_numpy(data.chelsea()[:, 75:375].copy()).permute(2, 0, 1)[None]
    features = network(cat)
    assert features.shape == (1, network.dimension)
    shares = network.network._fc(features).softmax(1)[0]
    assert shares[281:286].sum() > 0.5  # ImageNet's five cats
    grey = network(cat[:, :1])
    assert grey.shape == features.shape


def test_efficientnet_sees_224_pixels_from_minus_one_to_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    network, seen = EfficientNetLite0(), []
    monkeypatch.setattr(network.network, "extract_features", lambda x: seen.append(x) or x)
    network(torch.tensor([0, 127, 255], dtype=torch.uint8)[:, None, None, None].expand(3, 3, 8, 8))
    assert seen[0].shape == (3, 3, 224, 224)
    for image, value in zip(seen[0], (-127 / 128, 0, 1), strict=True):
        assert torch.allclose(image, torch.full_like(image, value), atol=1e-6)


@torch.inference_mode()
def test_features_do_not_depend_on_the_batch() -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    network, images = EfficientNetLite0(), _images(3)
    assert torch.allclose(network(images)[1:2], network(images[1:2]), atol=1e-4)


@torch.inference_mode()
def test_a_state_dict_gives_torch_fidelitys_features(inception: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "pt_inception-2015-12-05-6726825d.pth"
    torch.save(inception.state_dict(), path)
    images = _images(2, side=64)
    found = load_inception(path)(images)
    expected = inception(images)[0]
    assert found.shape == (2, 2048)
    assert expected.std() > 0.01
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-3 * expected.std())


class _Published(nn.Module):
    """A network as TorchScript, called as the published file is: features only where they are asked for."""

    def __init__(self, network: nn.Module, example: Tensor) -> None:
        super().__init__()
        self.network = torch.jit.trace(network, example, check_trace=False)

    def forward(self, images: Tensor, return_features: bool = False) -> Tensor:
        features = self.network(images)[0]
        return features if return_features else features[:, :1008]


@torch.inference_mode()
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::FutureWarning")
def test_a_torchscript_file_gives_the_features_of_the_state_dict(
    inception: nn.Module, tmp_path: Path
) -> None:
    state, script = tmp_path / "weights.pth", tmp_path / "inception-2015-12-05.pt"
    torch.save(inception.state_dict(), state)
    images = _images(2, side=64)
    torch.jit.script(_Published(inception, images[:1])).save(str(script))
    network = load_inception(script)
    assert isinstance(network, ScriptedInception)
    assert "not that of a published file" in network.unpublished
    found, expected = network(images), load_inception(state)(images)
    assert expected.std() > 0.01
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-3 * expected.std().item())
    grey = network(images[:, :1])
    assert torch.allclose(grey, network(images[:, :1].expand(-1, 3, -1, -1)))


def test_files_of_something_else_are_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("torch_fidelity")

    class Narrow(nn.Module):
        def forward(self, images: Tensor, return_features: bool = False) -> Tensor:
            return images.float().mean((2, 3))

    torch.jit.script(Narrow()).save(str(tmp_path / "narrow.pt"))
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("no weights")
    for name, wrong in (
        ("narrow.pt", "2048"),
        ("other.pth", "weights of the FID network"),
        ("text.pth", "damaged"),
        ("missing.pt", "does not exist"),
    ):
        with pytest.raises(UserError, match=wrong):
            load_inception(tmp_path / name)
