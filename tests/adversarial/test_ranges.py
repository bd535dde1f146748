"""Images that a generator cannot draw are refused before the critic wins by them."""

import pytest
import torch

from marmor.adversarial import check_reach
from marmor.base.errors import UserError
from marmor.base.pixels import to_unit

TANH = (-1.0, 1.0)
PIXELS = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)


def test_images_normalised_as_for_imagenet_are_refused_with_the_reason() -> None:
    normalised = (PIXELS / 255 - 0.485) / 0.229
    with pytest.raises(UserError, match=r"from -2\.12 to 2\.25 .* tanh.*ImageNet"):
        check_reach(normalised, TANH)
    check_reach(normalised, None)  # a linear layer can draw anything


def test_marmors_own_images_pass() -> None:
    check_reach(to_unit(PIXELS), TANH)
