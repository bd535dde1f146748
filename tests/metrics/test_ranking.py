import pytest
import torch

from marmor.metrics import ranks, top


def test_ranks_count_from_one_and_the_first_of_equals_comes_first():
    scores = torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0], [0.5, 0.5, 0.0]])
    assert ranks(scores, torch.tensor([2, 0, 1])).tolist() == [2, 1, 2]


def test_top_k_is_what_scikit_learn_says():
    from sklearn.metrics import top_k_accuracy_score

    stream = torch.Generator().manual_seed(0)
    scores = torch.randn(200, 8, generator=stream)
    truth = torch.randint(0, 8, (200,), generator=stream)
    for count in (1, 3, 5):
        wanted = top_k_accuracy_score(truth, scores, k=count)
        found = top(scores, truth, count)
        assert found.value == pytest.approx(wanted)
        assert found.low < wanted < found.high


@pytest.mark.parametrize(
    ("scores", "truth"),
    [
        (torch.zeros(2, 3), torch.tensor([0])),
        (torch.zeros(3), torch.tensor([0, 1, 2])),
        (torch.zeros(2, 3), torch.tensor([0, 3])),
    ],
)
def test_what_does_not_fit_is_refused(scores, truth):
    with pytest.raises(ValueError, match="truth"):
        ranks(scores, truth)
