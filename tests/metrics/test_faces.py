"""The face detector: real faces, no faces, sizes and channels."""

import numpy as np
import pytest
import torch

from marmor.data import read
from marmor.data.embedded import photographs
from marmor.metrics import count_faces

pytest.importorskip("dlib")


def portrait(side: int) -> torch.Tensor:
    """Eileen Collins' face, from the embedded photographs."""
    pixels = np.ascontiguousarray(photographs()[0][:256, 96:352])
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    small = torch.nn.functional.interpolate(image, side, mode="area")
    return small.round().to(torch.uint8)


@pytest.mark.parametrize("side", [64, 128, 256])
def test_a_face_is_found_at_every_size_in_colour_and_grey(side: int) -> None:
    face = portrait(side)
    assert count_faces(face).tolist() == [1]
    assert count_faces(face.float().mean(1, keepdim=True).to(torch.uint8)).tolist() == [1]


def test_two_faces_beside_each_other_are_two() -> None:
    face = portrait(128)
    assert count_faces(torch.cat([face, face], dim=3)).tolist() == [2]


def test_noise_and_digits_have_no_face() -> None:
    noise = torch.randint(256, (8, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    assert count_faces(noise.to(torch.uint8)).sum() == 0
    assert count_faces(read("mnist-m", "test").images[:20]).sum() == 0
