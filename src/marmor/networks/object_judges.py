"""Judges of scenes: which of K objects a picture shows, each on its own."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from marmor.base.errors import UserError
from marmor.networks.checkpoints import State, load_into
from marmor.networks.layers import conv_norm


class ObjectJudge(nn.Module, ABC):
    """``objects`` probabilities for colour images in [-1, 1]."""

    objects: int

    @abstractmethod
    def logits(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] → (B, ``objects``)."""

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] → probabilities (B, ``objects``)."""
        return self.logits(x).sigmoid()


class ResNetObjectJudge(ObjectJudge):
    """The course's judge: torchvision's ResNet-18 (He et al. 2016) with a sigmoid head, for 64×64."""

    def __init__(self, objects: int) -> None:
        super().__init__()
        from torchvision.models import resnet18  # takes a second to import

        self.objects = objects
        self.resnet: Any = resnet18(weights=None)
        head = nn.Linear(self.resnet.fc.in_features, objects)
        self.resnet.fc = nn.Sequential(head, nn.Sigmoid())

    def logits(self, x: Tensor) -> Tensor:
        resnet = self.resnet
        x = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(x))))
        x = resnet.layer4(resnet.layer3(resnet.layer2(resnet.layer1(x))))
        return resnet.fc[0](resnet.avgpool(x).flatten(1))


class SmallObjectJudge(ObjectJudge):
    """A small one: convolutions that read an object at every place, and of each object the surest place.

    Colour and shape are read in one place together, so that a red cube beside a blue sphere is not a
    blue cube. Works at any size from 16 pixels up.
    """

    def __init__(self, objects: int, width: int = 32) -> None:
        super().__init__()
        self.objects = objects
        self.body = nn.Sequential(
            conv_norm(3, width, stride=2),
            conv_norm(width, 2 * width),
            nn.MaxPool2d(2),
            conv_norm(2 * width, 4 * width),
            conv_norm(4 * width, 4 * width),
            nn.MaxPool2d(2),
            conv_norm(4 * width, 8 * width),
            nn.Conv2d(8 * width, objects, 1),
        )

    def logits(self, x: Tensor) -> Tensor:
        return self.body(x).flatten(2).amax(2)


def from_course_checkpoint(state: State, what: str) -> ResNetObjectJudge:
    """The course's judge of these weights, in evaluation mode; UserError where they are no such judge."""
    head = state.get("fc.0.weight")
    if head is None or head.ndim != 2:
        raise UserError(
            f"{what} is no judge of scenes: a ResNet-18 whose head is Sequential(Linear, Sigmoid) "
            "has the weight fc.0.weight of two dimensions."
        )
    judge = ResNetObjectJudge(len(head))
    load_into(judge.resnet, state, what)
    return judge.eval()


NETWORKS: dict[str, type[ResNetObjectJudge] | type[SmallObjectJudge]] = {
    "resnet18": ResNetObjectJudge,
    "small": SmallObjectJudge,
}
