"""Judges: shapes, the course network recomputed, and what they refuse."""

import pytest
import torch
from torch import Tensor, nn

from marmor.base.errors import UserError
from marmor.networks.context_unet import ContextUnet
from marmor.networks.judges import CourseJudge, DigitJudge, Judge, from_state_dict

COURSE = {
    "conv1.weight": (6, 3, 5, 5),
    "conv1.bias": (6,),
    "conv2.weight": (16, 6, 5, 5),
    "conv2.bias": (16,),
    "fc1.weight": (128, 256),
    "fc1.bias": (128,),
    "fc2.weight": (64, 128),
    "fc2.bias": (64,),
    "fc3.weight": (10, 64),
    "fc3.bias": (10,),
}


def course_state() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        name: torch.randn(shape, generator=generator) / shape[-1] for name, shape in COURSE.items()
    }


@pytest.mark.parametrize("size", [12, 28, 31, 64])
def test_digit_judge_reads_any_size(size: int) -> None:
    judge: Judge = DigitJudge(classes=7, channels=1).eval()
    images = torch.rand(3, 1, size, size) * 2 - 1
    assert judge.features(images).shape == (3, 128)
    assert judge(images).shape == (3, 7)
    assert (judge.classes, judge.channels, judge.feature_size, judge.image_size) == (
        7,
        1,
        128,
        None,
    )


def test_digit_judge_is_five_convolutions_wide() -> None:
    judge = DigitJudge(width=8)
    widths = [layer.out_channels for layer in judge.modules() if isinstance(layer, nn.Conv2d)]
    assert widths == [8, 16, 16, 32, 32]
    assert judge.feature_size == 32


def test_scores_are_made_of_the_features() -> None:
    for judge in (DigitJudge().eval(), CourseJudge().eval()):
        images = torch.rand(2, 3, 28, 28) * 2 - 1
        assert torch.equal(judge(images), judge.logits(judge.features(images)))


def test_course_judge_has_the_published_names_and_function() -> None:
    state = course_state()
    judge = from_state_dict(state)
    assert isinstance(judge, CourseJudge)
    assert not judge.training
    assert {name: tuple(p.shape) for name, p in judge.named_parameters()} == COURSE
    images = torch.rand(4, 3, 28, 28) * 2 - 1

    def convolved(name: str, x: Tensor) -> Tensor:
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        patches = x.unfold(2, 5, 1).unfold(3, 5, 1)
        x = torch.einsum("bchwij,ocij->bohw", patches, weight) + bias[:, None, None]
        blocks = x.clamp(min=0).unfold(2, 2, 2).unfold(3, 2, 2)
        return blocks.amax((4, 5))

    def linear(name: str, x: Tensor) -> Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    x = convolved("conv2", convolved("conv1", images)).reshape(4, 256)
    features = linear("fc2", linear("fc1", x).clamp(min=0)).clamp(min=0)
    with torch.no_grad():
        torch.testing.assert_close(judge.features(images), features)
        torch.testing.assert_close(judge(images), linear("fc3", features))


@pytest.mark.parametrize(
    ("judge", "shape"),
    [
        (CourseJudge(), (1, 3, 32, 32)),
        (CourseJudge(), (1, 1, 28, 28)),
        (DigitJudge(), (1, 1, 28, 28)),
        (DigitJudge(), (1, 3, 28, 11)),
    ],
)
def test_images_that_do_not_fit_are_refused(judge: Judge, shape: tuple[int, ...]) -> None:
    found = " × ".join(map(str, shape[1:]))
    with pytest.raises(UserError, match=f"{type(judge).__name__} reads images .* not {found}"):
        judge(torch.zeros(shape))


def test_sizes_are_read_off_the_weights() -> None:
    judge = DigitJudge(classes=4, channels=1, width=16)
    loaded = from_state_dict(judge.state_dict())
    assert isinstance(loaded, DigitJudge)
    assert (loaded.classes, loaded.channels, loaded.feature_size) == (4, 1, 64)
    images = torch.rand(2, 1, 20, 20)
    assert torch.equal(loaded(images), judge.eval()(images))


def test_other_weights_are_no_judge() -> None:
    with pytest.raises(UserError, match="is a context-unet, not a judge"):
        from_state_dict(ContextUnet(n_feat=8).state_dict())
    with pytest.raises(UserError, match=r"CourseJudge: 'fc1.bias' should be 128 but is 120"):
        from_state_dict(course_state() | {"fc1.bias": torch.zeros(120)})
