"""Checkpoints of strangers: what loads, and one sentence for each that does not."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from marmor.base.errors import UserError
from marmor.networks.checkpoints import load_into, load_state, recognise
from marmor.networks.context_unet import ContextUnet
from marmor.networks.judges import CourseJudge, DigitJudge, from_state_dict


class Code:
    """Unpickled, it would leave a file behind."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.trace}",)


def refusal(path: Path) -> str:
    """The one sentence with which a file is refused."""
    with pytest.raises(UserError) as caught:
        load_state(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert message.endswith(".")
    return message


def linear() -> dict[str, Tensor]:
    return {name: value.clone() for name, value in nn.Linear(3, 2).state_dict().items()}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


@pytest.mark.parametrize("wrapper", ["model", "state_dict", "ema", "model_state_dict"])
def test_wrapped_weights_are_found(tmp_path: Path, wrapper: str) -> None:
    state = linear()
    torch.save({"epoch": 3, wrapper: state, "optimizer": {"state": {}}}, tmp_path / "a.pt")
    torch.save({"trainer": None, "model": {wrapper: state}}, tmp_path / "nested.pt")
    assert same(load_state(tmp_path / "a.pt"), state)
    assert same(load_state(tmp_path / "nested.pt"), state)


def test_bare_weights_in_every_format(tmp_path: Path) -> None:
    state = linear()
    torch.save(state, tmp_path / "new.pt")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "a.safetensors")
    for name in ("new.pt", "old.pth", "a.safetensors"):
        assert same(load_state(tmp_path / name), state)


def test_averaged_weights_come_first(tmp_path: Path) -> None:
    state = linear()
    torch.save({"model": linear(), "ema": state}, tmp_path / "a.pt")
    assert same(load_state(tmp_path / "a.pt"), state)
    torch.save({"model": state, "ema": {"decay": 0.99}}, tmp_path / "b.pt")
    assert same(load_state(tmp_path / "b.pt"), state)


def test_distributed_prefix_is_taken_off_only_where_all_have_it(tmp_path: Path) -> None:
    state = linear()
    torch.save({f"module.{name}": value for name, value in state.items()}, tmp_path / "a.pt")
    assert same(load_state(tmp_path / "a.pt"), state)
    mixed = {"module.weight": state["weight"], "bias": state["bias"]}
    torch.save(mixed, tmp_path / "b.pt")
    assert same(load_state(tmp_path / "b.pt"), mixed)


def test_parameters_come_without_gradients(tmp_path: Path) -> None:
    torch.save(dict(nn.Linear(3, 2).named_parameters()), tmp_path / "a.pt")
    assert not any(value.requires_grad for value in load_state(tmp_path / "a.pt").values())


def test_missing_empty_and_folder(tmp_path: Path) -> None:
    (tmp_path / "empty.pt").touch()
    assert "does not exist" in refusal(tmp_path / "none.pt")
    assert "is empty" in refusal(tmp_path / "empty.pt")
    assert "is not a file" in refusal(tmp_path)


@pytest.mark.parametrize("keep", [3, 20, 100, 0.5, 0.9, -10])
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_cut_short(tmp_path: Path, kind: str, keep: float) -> None:
    path = tmp_path / ("a.safetensors" if kind == "safetensors" else "a.pt")
    state = {"weight": torch.randn(100, 100)}
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    assert "cut short, damaged or not a checkpoint" in refusal(path)


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"hello", bytes(range(256)), b"PK"])
def test_other_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(content)
    assert "not a checkpoint" in refusal(path)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrapped", [True, False])
def test_code_in_a_pickle_is_named_and_not_run(tmp_path: Path, zipped: bool, wrapped: bool) -> None:
    trace, path = tmp_path / "trace", tmp_path / "a.pt"
    code = Code(trace)
    content = {"state_dict": linear(), "args": code} if wrapped else code
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    message = refusal(path)
    assert "holds code (" in message
    assert "system" in message
    assert "was not run" in message
    assert not trace.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_pickles_are_not_run(tmp_path: Path, protocol: int) -> None:
    trace, path = tmp_path / "trace", tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(Code(trace), protocol=protocol))
    assert "was not run" in refusal(path)
    assert not trace.exists()


def test_the_code_of_the_test_would_run(tmp_path: Path) -> None:
    """Otherwise the tests above would show nothing."""
    pickle.loads(pickle.dumps(Code(tmp_path / "trace")))  # noqa: S301
    assert (tmp_path / "trace").exists()


def test_whole_modules_and_scripts_are_code(tmp_path: Path) -> None:
    torch.save(nn.Linear(3, 2), tmp_path / "module.pt")
    assert "torch.nn.modules.linear.Linear" in refusal(tmp_path / "module.pt")


@pytest.mark.filterwarnings("ignore")
def test_torchscript_is_code(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.trace(nn.Linear(3, 2), torch.zeros(1, 3)), str(tmp_path / "a.pt"))
    assert "TorchScript" in refusal(tmp_path / "a.pt")


def test_no_tensors(tmp_path: Path) -> None:
    own: dict[str, object] = {"epoch": 3}
    own["model"] = own
    for content in ({"epoch": 3}, {}, torch.zeros(3), [torch.zeros(3)], {"optimizer": {}}, own):
        torch.save(content, tmp_path / "a.pt")
        assert "no named tensors" in refusal(tmp_path / "a.pt")


def test_load_into_copies_and_converts() -> None:
    module, state = nn.Linear(3, 2), linear()
    load_into(module, {name: value.half() for name, value in state.items()}, "it")
    assert module.weight.dtype == torch.float32
    torch.testing.assert_close(module.weight.detach(), state["weight"], atol=1e-3, rtol=1e-3)


def test_load_into_names_the_first_difference_and_changes_nothing() -> None:
    module = nn.Linear(3, 2)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    weight, bias = torch.zeros(2, 3), torch.zeros(2)
    wrong: list[tuple[dict[str, Tensor], str]] = [
        ({"weight": weight}, "'bias' is missing"),
        ({"bias": bias}, "'weight' is missing"),
        ({"weight": weight, "bias": bias, "gain": bias}, "'gain' is not part of it"),
        ({"weight": torch.zeros(2, 4), "bias": bias}, "'weight' should be 2 × 3 but is 2 × 4"),
        ({"weight": weight, "bias": torch.zeros(())}, "'bias' should be 2 but is a single number"),
    ]
    for state, difference in wrong:
        with pytest.raises(UserError) as caught:
            load_into(module, state, "runs/a")
        assert str(caught.value) == f"runs/a does not fit Linear: {difference}."
    assert same(dict(module.state_dict()), before)


def test_known_networks_are_recognised() -> None:
    unet = ContextUnet(n_feat=8).state_dict()
    assert recognise(unet) == "context-unet"
    assert recognise({f"nn_model.{k}": v for k, v in unet.items()}) == "context-unet"
    assert recognise(CourseJudge().state_dict()) == "course-judge"
    assert recognise(DigitJudge(classes=3, channels=1, width=4).state_dict()) == "digit-judge"


def test_unknown_networks_get_the_nearest() -> None:
    course = CourseJudge().state_dict()
    with pytest.raises(UserError, match=r"nearest is course-judge.*'fc1.weight'.*it is 128 × 400"):
        recognise(course | {"fc1.weight": torch.zeros(128, 400)})
    with pytest.raises(
        UserError, match=r"nearest is context-unet.*any × 1, but here it is missing"
    ):
        recognise(
            {k: v for k, v in ContextUnet(n_feat=8).state_dict().items() if "timeembed" not in k}
        )
    with pytest.raises(UserError, match="no known network"):
        recognise(linear())


def test_a_course_checkpoint_becomes_its_judge(tmp_path: Path) -> None:
    judge = CourseJudge().eval()
    torch.save({"state_dict": judge.state_dict()}, tmp_path / "Classifier.pth")
    loaded = from_state_dict(load_state(tmp_path / "Classifier.pth"))
    images = torch.rand(2, 3, 28, 28) * 2 - 1
    assert torch.equal(loaded(images), judge(images))
