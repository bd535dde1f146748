"""The printed model summary."""

import pytest
import torch
from torch import Tensor, nn

from marmor.networks.context_unet import ContextUnet
from marmor.networks.judges import DigitJudge
from marmor.networks.summary import Row, format_summary, summarise


class Odd(nn.Module):
    """Parameters of its own, shared weights, a layer that is never called, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(5))
        self.first = nn.Linear(5, 5)
        self.again = self.first
        self.tied = nn.Linear(5, 5, bias=False)
        self.tied.weight = self.first.weight
        self.unused = nn.Linear(2, 3)
        self.branch = nn.GRU(5, 4, batch_first=True)
        self.maps = nn.ParameterDict({"class": nn.Parameter(torch.zeros(7))})

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.tied(self.again(x * self.scale))
        return self.branch(x)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("module", [ContextUnet(n_feat=8), DigitJudge(), Odd(), nn.Linear(4, 2)])
def test_rows_add_up(module: nn.Module) -> None:
    inputs: tuple[object, ...] = (torch.zeros(2, 3, 28, 28),)
    if isinstance(module, ContextUnet):
        inputs = (*inputs, torch.zeros(2), {"class": torch.tensor([0, 10])})
    elif isinstance(module, Odd):
        inputs = (torch.zeros(2, 3, 5),)
    elif isinstance(module, nn.Linear):
        inputs = (torch.zeros(2, 4),)
    rows = summarise(module, *inputs)
    assert sum(row.parameters for row in rows) == count(module)
    assert f"{count(module):,}" in format_summary(rows).splitlines()[-1]


def test_rows_of_the_published_network() -> None:
    labels = {"class": torch.tensor([0, 10])}
    network = ContextUnet(n_feat=8)
    rows = {
        row.name: row
        for row in summarise(network, torch.zeros(2, 3, 28, 28), torch.zeros(2), labels)
    }
    assert rows["up0.0"] == Row("up0.0", "ConvTranspose2d", (2, 16, 7, 7), 16 * 16 * 49 + 16)
    assert rows["down1.model"].shape == (2, 8, 14, 14)
    assert rows["down1.model"].parameters == count(network.down1)
    assert rows["out.3"].shape == (2, 3, 28, 28)
    assert next(iter(rows)) == "init_conv.conv1"
    assert "up1" not in rows
    assert "up1.model.0" not in rows


def test_odd_modules() -> None:
    rows = summarise(Odd(), torch.zeros(2, 3, 5))
    assert rows == [
        Row("(itself)", "Odd", (2, 3, 4), 5),
        Row("first", "Linear", (2, 3, 5), 30),
        Row("tied", "Linear", (2, 3, 5), 0),
        Row("unused", "Linear", None, 9),
        Row("branch", "GRU", (2, 3, 4), 5 * 12 + 4 * 12 + 24),
        Row("maps", "ParameterDict", None, 7),
    ]


def test_the_module_is_left_as_it_was() -> None:
    judge = DigitJudge().train()
    judge.head.eval()
    before = {name: value.clone() for name, value in judge.state_dict().items()}
    summarise(judge, torch.randn(4, 3, 28, 28))
    assert judge.training
    assert judge.body.training
    assert not judge.head.training
    assert all(torch.equal(value, before[name]) for name, value in judge.state_dict().items())
    assert not any(layer._forward_hooks for layer in judge.modules())


def test_the_module_is_left_as_it_was_after_an_error() -> None:
    judge = DigitJudge().train()
    with pytest.raises(Exception, match="channels"):
        summarise(judge, torch.randn(4, 1, 28, 28))
    assert judge.training
    assert not any(layer._forward_hooks for layer in judge.modules())


def test_format_is_an_aligned_table() -> None:
    rows = [Row("stem", "Conv2d", (1, 8, 28, 28), 1234), Row("unused", "Linear", None, 5)]
    assert format_summary(rows).splitlines() == [
        "layer   type    output           parameters",
        "───────────────────────────────────────────",
        "stem    Conv2d  1 × 8 × 28 × 28       1,234",
        "unused  Linear  –                         5",
        "───────────────────────────────────────────",
        "in all                                1,239",
    ]
