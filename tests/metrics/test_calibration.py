import pytest
import torch

from marmor.metrics import calibration


def test_the_error_by_hand():
    # Two bins: 0.9 (one of two right) and 0.3 (one of one right).
    found = calibration(torch.tensor([0.9, 0.9, 0.3]), torch.tensor([True, False, True]))
    assert found.error == pytest.approx((2 * 0.4 + 0.7) / 3)
    assert [each.accuracy.count for each in found.bins] == [1, 2]


def test_one_that_knows_how_sure_it_may_be_has_little_error():
    stream = torch.Generator().manual_seed(0)
    confidence = torch.rand(20_000, generator=stream)
    right = torch.rand(20_000, generator=stream) < confidence
    assert calibration(confidence, right).error < 0.02
    assert calibration(confidence.sqrt(), right).error > 0.15


def test_the_ends_have_bins():
    found = calibration(torch.tensor([0.0, 1.0]), torch.tensor([False, True]))
    assert found.error == 0
    assert len(found.bins) == 2


@pytest.mark.parametrize(
    ("confidence", "right"),
    [([0.5], [True, False]), ([], []), ([1.5], [True]), ([[0.5]], [[True]])],
)
def test_what_does_not_fit_is_refused(confidence, right):
    with pytest.raises(ValueError, match="confidence"):
        calibration(torch.tensor(confidence), torch.tensor(right, dtype=torch.bool))
