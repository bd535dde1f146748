"""The loop: exact resume, a log without gap or double, divergence, interruption, milestones."""

import math
import os
import signal
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from marmor.base.errors import UserError
from marmor.base.seeds import torch_stream
from marmor.training import (
    Batch,
    Budget,
    DivergenceError,
    LoopSettings,
    RunFolder,
    Turn,
    adam,
    fit,
    muon_and_adamw,
    warmup_then_linear,
)

STEPS = 50


class Regression:
    """A tiny method with both optimizers; ``stop_at`` ends it as a kill would."""

    batch_size = 16
    dataset_size = 100

    def __init__(self, stop_at: int | None = None, poison_at: int | None = None) -> None:
        torch.manual_seed(3)
        self.module = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))
        matrices = [self.module[0].weight]
        self.played = [Turn(self.loss, muon_and_adamw(self.module, matrices, 0.02, 0.02))]
        self.stop_at, self.poison_at = stop_at, poison_at

    def turns(self, step: int) -> list[Turn]:
        return self.played

    def draw(self, step: int, turn: int) -> Batch:
        if step == self.stop_at:
            raise RuntimeError("killed")
        x = torch.randn(16, 6, generator=torch_stream(0, "x", step))
        y = x.sum(1, keepdim=True) * (math.nan if step == self.poison_at else 1)
        return {"x": x, "y": y}

    def loss(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return {"loss": (module(batch["x"]) - batch["y"]).square().mean()}

    def rate(self, progress: float) -> float:
        return warmup_then_linear(progress) / (1 + self.retreats)

    def begin(self, average: nn.Module, retreats: int) -> None:
        self.average, self.retreats = average, retreats


class Contest(Regression):
    """Two players: the first follows a target, the second the first; each moves its own weights."""

    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__(stop_at)
        torch.manual_seed(4)
        self.module = nn.ModuleDict({"first": nn.Linear(6, 1), "second": nn.Linear(6, 1)})
        self.module.register_buffer("heard", torch.zeros(()))
        self.called = 0
        players = {name: adam(self.module[name], 0.05) for name in self.module}
        self.played = [
            Turn(self.lead, players["first"], "first", self.count),
            Turn(self.lead, players["first"], "again", self.count),
            Turn(self.follow, players["second"], "second", after=self.hear),
        ]

    def count(self, module: nn.Module) -> None:
        self.called += 1

    def hear(self, module: nn.Module, scalars: dict[str, float]) -> None:
        assert isinstance(module.heard, Tensor)
        module.heard += scalars["apart"]

    def lead(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        assert isinstance(module, nn.ModuleDict)
        return {"loss": (module["first"](batch["x"]) - batch["y"]).square().mean()}

    def follow(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        assert isinstance(module, nn.ModuleDict)
        apart = module["second"](batch["x"]) - module["first"](batch["x"])
        return {"loss": apart.square().mean(), "apart": apart.abs().mean()}


def settings(**changes) -> LoopSettings:
    plain = {"budget": Budget(steps=STEPS), "precision": "fp32", "log_every": 4}
    return LoopSettings(**{**plain, "checkpoint_seconds": 0.0, **changes})


def train(path: Path, method: Regression, probe=None, guard=None, **changes) -> RunFolder:
    run = RunFolder(path)
    path.mkdir(exist_ok=True)
    looped = settings(**changes)
    fit(method, run, looped, lambda share, record: None, probe, guard, method.begin)
    return run


def without_clock(run: RunFolder) -> list[dict]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in run.history()]


@pytest.mark.parametrize("killed_at", [1, 7, 26, 49])
def test_a_killed_run_resumes_bit_for_bit(tmp_path: Path, killed_at: int) -> None:
    whole = train(tmp_path / "whole", Regression())
    with pytest.raises(RuntimeError, match="killed"):
        train(tmp_path / "killed", Regression(stop_at=killed_at))
    again = train(tmp_path / "killed", Regression())
    expected, found = whole.checkpoints.load(), again.checkpoints.load()
    assert expected is not None
    assert found is not None
    for part in ("model", "average"):
        for name, values in getattr(expected, part).items():
            assert torch.equal(getattr(found, part)[name], values), (part, name)
    assert without_clock(whole) == without_clock(again)


def test_the_log_has_every_step_once_and_its_losses_fall(tmp_path: Path) -> None:
    history = train(tmp_path / "run", Regression()).history()
    assert [line["step"] for line in history] == [*range(4, STEPS, 4), STEPS]
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]


def test_lines_cut_short_by_a_kill_are_dropped(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="killed"):
        train(tmp_path / "run", Regression(stop_at=20))
    with (tmp_path / "run" / "metrics.jsonl").open("a") as log:
        log.write('{"step": 24, "loss": 1.0}\n{"step": 28, "lo')
    history = train(tmp_path / "run", Regression()).history()
    assert [line["step"] for line in history] == [*range(4, STEPS, 4), STEPS]


def test_divergence_stops_says_so_and_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(DivergenceError, match=r"step 31: the loss is nan.*step-000030"):
        train(tmp_path / "run", Regression(poison_at=30))
    checkpoint = RunFolder(tmp_path / "run").checkpoints.load()
    assert checkpoint is not None
    assert checkpoint.position["step"] == 30
    assert all(values.isfinite().all() for values in checkpoint.model.values())


def test_ctrl_c_saves_and_a_resume_ends_the_same(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", Regression())

    class Interrupted(Regression):
        def draw(self, step: int, turn: int) -> Batch:
            if step == 10:
                os.kill(os.getpid(), signal.SIGINT)
            return super().draw(step, turn)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", Interrupted(), checkpoint_seconds=1e9)
    run = RunFolder(tmp_path / "run")
    checkpoint = run.checkpoints.load()
    assert checkpoint is not None
    assert checkpoint.position["step"] == 11
    train(tmp_path / "run", Regression())
    assert without_clock(run) == without_clock(whole)


def test_milestones_are_probed_once_each_also_across_a_kill(tmp_path: Path) -> None:
    def probe(module: nn.Module) -> dict[str, float]:
        return {"probed": 1.0}

    with pytest.raises(RuntimeError, match="killed"):
        train(tmp_path / "run", Regression(stop_at=33), probe, milestones=5)
    run = train(tmp_path / "run", Regression(), probe, milestones=5)
    assert [line["step"] for line in run.history() if "probed" in line] == [12, 20, 32, 40, 50]


def probe_of(method: "Regression"):
    """The weights' size, and whether the step is one that goes wrong until the method is gentler."""

    def probe(module: nn.Module) -> dict[str, float]:
        return {"size": module[0].weight.norm().item(), "retreats": method.retreats}  # type: ignore[index]

    return probe


def wrong_at_first(figures: dict[str, float]) -> str | None:
    """Sends the run back from its third milestone, once."""
    wrong_at_first.calls += 1  # type: ignore[attr-defined]
    return "went wrong" if figures["retreats"] == 0 and wrong_at_first.calls >= 3 else None  # type: ignore[attr-defined]


def guarded(path: Path, calls: int = 0, **method) -> RunFolder:
    wrong_at_first.calls = calls  # type: ignore[attr-defined]
    regression = Regression(**method)
    return train(path, regression, probe_of(regression), wrong_at_first, milestones=5)


def test_a_guard_sends_the_run_back_to_the_last_good_milestone(tmp_path: Path) -> None:
    run = guarded(tmp_path / "run")
    last = run.checkpoints.load()
    assert last is not None
    [retreat] = last.position["retreats"]
    assert (retreat["record"]["step"], retreat["back_to"]) == (32, 20)
    assert retreat["why"] == "went wrong"
    history = run.history()
    told = {line["step"]: line["retreat"] for line in history if "retreat" in line}
    assert told == {24: "went wrong"}
    assert [line["step"] for line in history] == [*range(4, STEPS, 4), STEPS]
    rates = {line["step"]: line["rate"] for line in history}
    assert rates[24] == pytest.approx(warmup_then_linear(24 / STEPS) / 2)
    assert rates[20] == pytest.approx(warmup_then_linear(20 / STEPS))
    assert [line["step"] for line in history if "size" in line] == [12, 20, 32, 40, 50]


def timeless(retreats: list[dict]) -> list[dict]:
    return [{**retreat, "record": {**retreat["record"], "seconds": 0}} for retreat in retreats]


def test_with_a_guard_a_run_that_diverges_goes_back_too(tmp_path: Path) -> None:
    class Poisoned(Regression):
        def begin(self, average: nn.Module, retreats: int) -> None:
            super().begin(average, retreats)
            self.poison_at = 30 if retreats < 2 else None

    run = train(tmp_path / "run", Poisoned(), guard=lambda figures: None, milestones=5)
    last = run.checkpoints.load()
    assert last is not None
    # The first time to the milestone before it, then, having come no further, to the start.
    assert [retreat["back_to"] for retreat in last.position["retreats"]] == [20, 0]
    assert "the loss is nan" in last.position["retreats"][0]["why"]
    told = {line["step"]: line["retreat"] for line in run.history() if "retreat" in line}
    assert list(told) == [4]
    # Going back further took the first one's line away.
    assert told[4].count("the loss is nan") == 2
    assert all(values.isfinite().all() for values in last.model.values())
    with pytest.raises(DivergenceError, match=r"7th time: the loss is nan"):
        train(tmp_path / "in vain", Regression(poison_at=30), guard=lambda figures: None)


@pytest.mark.parametrize("killed_at", [21, 33, 45])
def test_a_guarded_run_resumes_bit_for_bit(tmp_path: Path, killed_at: int) -> None:
    whole = guarded(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="killed"):
        # Step 21 is reached a second time, after the retreat; a kill spares the first.
        guarded(tmp_path / "run", stop_at=killed_at)
    again = guarded(tmp_path / "run", calls=2 if killed_at == 21 else 3)
    expected, found = whole.checkpoints.load(), again.checkpoints.load()
    assert expected is not None
    assert found is not None
    assert timeless(expected.position["retreats"]) == timeless(found.position["retreats"])
    assert without_clock(whole) == without_clock(again)
    for name, values in expected.model.items():
        assert torch.equal(found.model[name], values)


def test_a_run_that_comes_no_further_begins_anew(tmp_path: Path) -> None:
    def guard(figures: dict[str, float]) -> str | None:
        return "not yet" if figures["step"] == 20 and figures["retreats"] < 3 else None

    regression = Regression()
    run = train(tmp_path / "run", regression, probe_of(regression), guard, milestones=5)
    last = run.checkpoints.load()
    assert last is not None
    assert [retreat["back_to"] for retreat in last.position["retreats"]] == [12, 0, 0]
    assert [line["step"] for line in run.history() if "size" in line] == [12, 20, 32, 40, 50]


def test_a_run_without_good_milestone_starts_anew_and_in_the_end_stops(tmp_path: Path) -> None:
    with pytest.raises(DivergenceError, match="7th time: hopeless"):
        train(tmp_path / "run", Regression(), lambda m: {}, lambda f: "hopeless", milestones=5)
    last = RunFolder(tmp_path / "run").checkpoints.load()
    assert last is not None
    assert [retreat["back_to"] for retreat in last.position["retreats"]] == [0] * 6
    assert RunFolder(tmp_path / "run").history()[-1]["gave_up"] == "hopeless"


def test_means_in_the_log_are_of_the_steps_since_the_last_line(tmp_path: Path) -> None:
    class Counted(Regression):
        def loss(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
            return {**super().loss(module, batch), "one": torch.ones(())}

    train(tmp_path / "run", Counted())  # ends between two lines
    longer = train(tmp_path / "run", Counted(), budget=Budget(steps=STEPS + 10))
    lines = {line["step"]: line["one"] for line in longer.history()}
    assert list(lines) == [*range(4, STEPS, 4), 50, 52, 56, 60]
    assert set(lines.values()) == {1.0}


def test_the_average_lags_behind_and_is_kept(tmp_path: Path) -> None:
    run = train(tmp_path / "run", Regression(), ema=0.9)
    checkpoint = run.checkpoints.load()
    assert checkpoint is not None
    assert not torch.equal(checkpoint.average["0.weight"], checkpoint.model["0.weight"])
    equal = train(tmp_path / "plain", Regression(), ema=0.0).checkpoints.load()
    assert equal is not None
    assert torch.equal(equal.average["0.weight"], equal.model["0.weight"])


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RuntimeError, match="killed"):
        train(tmp_path / "run", Regression(stop_at=5))

    def full(*_) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("marmor.training.checkpoints.save_file", full)
    with pytest.raises(UserError, match="No space left"):
        train(tmp_path / "run", Regression())
    checkpoint = RunFolder(tmp_path / "run").checkpoints.load()
    assert checkpoint is not None
    assert checkpoint.position["step"] == 5


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    run = train(tmp_path / "run", Regression())
    weights = run.checkpoints.latest() / "model.safetensors"  # type: ignore[operator]
    weights.write_bytes(weights.read_bytes()[:50])
    with pytest.raises(UserError, match=r"model\.safetensors"):
        run.checkpoints.load()


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    run = train(tmp_path / "run", Regression())
    before = run.metrics.read_bytes()
    train(tmp_path / "run", Regression())
    assert run.metrics.read_bytes() == before
    assert [path.name for path in run.checkpoints.folder.iterdir()][-1:]


@pytest.mark.parametrize(("whole", "rows"), [(False, {8}), (True, {16})])
def test_threads_share_the_rows_of_a_turn_unless_it_needs_the_whole(
    tmp_path: Path, whole: bool, rows: set[int]
) -> None:
    class Counting(Regression):
        def __init__(self) -> None:
            super().__init__()
            self.played = [Turn(self.loss, adam(self.module, 0.01), whole=whole)]
            self.seen: set[int] = set()

        def loss(self, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
            self.seen.add(len(batch["x"]))
            return super().loss(module, batch)

    method = Counting()
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        train(tmp_path / "run", method, budget=Budget(steps=2))
    finally:
        torch.set_num_threads(before)
    assert method.seen == rows


def test_turns_move_their_own_weights_alone(tmp_path: Path) -> None:
    contest, alone = Contest(), Contest()
    alone.played = alone.played[:2]
    run = train(tmp_path / "contest", contest)
    train(tmp_path / "alone", alone)
    # The second player's loss has a gradient in the first one's weights, which must not move them.
    assert contest.module["first"].weight.equal(alone.module["first"].weight)
    assert contest.called == 2 * STEPS
    last = run.history()[-1]
    assert {"first.loss", "again.loss", "second.loss", "second.apart"} <= last.keys()
    assert last["second.loss"] < run.history()[0]["second.loss"]


@pytest.mark.parametrize("killed_at", [1, 26])
def test_a_run_of_several_turns_resumes_bit_for_bit(tmp_path: Path, killed_at: int) -> None:
    whole, again = Contest(), Contest()
    train(tmp_path / "whole", whole)
    with pytest.raises(RuntimeError, match="killed"):
        train(tmp_path / "killed", Contest(stop_at=killed_at))
    train(tmp_path / "killed", again)
    for name, values in whole.module.state_dict().items():
        assert values.equal(again.module.state_dict()[name]), name
    assert whole.module.heard > 0


def test_gradients_of_others_do_not_count_in_a_turns_norm(tmp_path: Path) -> None:
    contest = Contest()
    contest.played = contest.played[2:]
    loss = contest.follow(contest.module, contest.draw(0, 0))["loss"]
    own = torch.autograd.grad(loss, list(contest.module["second"].parameters()))
    expected = torch.cat([gradient.flatten() for gradient in own]).norm().item()
    run = train(tmp_path, contest, budget=Budget(steps=1), log_every=1)
    assert run.history()[0]["second.gradient_norm"] == pytest.approx(expected)
