"""Judges: classifiers that read a class off an image and lend their features to distances."""

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn import functional as F

from marmor.base.errors import UserError
from marmor.networks.checkpoints import State, load_into, recognise
from marmor.networks.layers import conv_norm

_SMALLEST = 12


class Judge(nn.Module, ABC):
    """A classifier over images in [-1, 1] with one vector of features before its last layer.

    Attributes: ``classes``; ``channels`` and ``image_size`` of the images, the latter None where
    any size from 12 pixels up will do; ``feature_size``, the length of a feature vector.
    """

    classes: int
    channels: int
    feature_size: int
    image_size: int | None

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] → (B, ``feature_size``).

        Raises UserError for images of another number of channels or another size.
        """

    @abstractmethod
    def logits(self, features: Tensor) -> Tensor:
        """Features (B, ``feature_size``) → unnormalised scores (B, ``classes``)."""

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] → unnormalised scores (B, ``classes``)."""
        return self.logits(self.features(x))

    def _check(self, x: Tensor) -> None:
        channels, height, width = x.shape[1:]
        fits = (
            min(height, width) >= _SMALLEST
            if self.image_size is None
            else height == width == self.image_size
        )
        if channels != self.channels or not fits:
            size = self.image_size or f"at least {_SMALLEST}"
            raise UserError(
                f"{type(self).__name__} reads images of {self.channels} channels and a side of "
                f"{size}, not {channels} × {height} × {width}; resize or recolour them."
            )


class DigitJudge(Judge):
    """marmor's own judge: five 3×3 convolutions with BatchNorm, two poolings, a global average.

    Only one convolution runs at full size, where most of the time would go.

    Works at any size from 12 pixels up; the features are 4·``width`` long.
    """

    image_size = None

    def __init__(self, classes: int = 10, channels: int = 3, width: int = 32) -> None:
        super().__init__()
        self.classes = classes
        self.channels = channels
        self.feature_size = 4 * width
        self.body = nn.Sequential(
            conv_norm(channels, width),
            nn.MaxPool2d(2),
            conv_norm(width, 2 * width),
            conv_norm(2 * width, 2 * width),
            nn.MaxPool2d(2),
            conv_norm(2 * width, 4 * width),
            conv_norm(4 * width, 4 * width),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(4 * width, classes)

    def features(self, x: Tensor) -> Tensor:
        self._check(x)
        return self.body(x)

    def logits(self, features: Tensor) -> Tensor:
        return self.head(features)


class CourseJudge(Judge):
    """The course's digit classifier, whose checkpoint is ``{'state_dict': …}``.

    Two 5×5 convolutions with max pooling and three linear layers, ReLU between them, for colour
    images of 28 × 28; the features are the 64 values before the last layer, after their ReLU.
    """

    classes = 10
    channels = 3
    feature_size = 64
    image_size = 28

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(self.channels, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 4 * 4, 128)
        self.fc2 = nn.Linear(128, self.feature_size)
        self.fc3 = nn.Linear(self.feature_size, self.classes)

    def features(self, x: Tensor) -> Tensor:
        self._check(x)
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return F.relu(self.fc2(F.relu(self.fc1(x.flatten(1)))))

    def logits(self, features: Tensor) -> Tensor:
        return self.fc3(features)


def from_state_dict(state: State) -> Judge:
    """The judge that these weights belong to, sizes read off them, in evaluation mode.

    Raises UserError where they belong to no judge or one of them does not fit.
    """
    kind = recognise(state)
    if kind == "course-judge":
        judge = CourseJudge()
    elif kind == "digit-judge":
        width, channels = state["body.0.0.weight"].shape[:2]
        judge = DigitJudge(len(state["head.weight"]), channels, width)
    else:
        raise UserError(
            f"this checkpoint is a {kind}, not a judge; name a classifier's checkpoint."
        )
    load_into(judge, state, "this checkpoint")
    return judge.eval()
