"""The one loop: it owns devices, precision, budgets, the log, checkpoints and interruption.

A method says what a batch is, and of each turn of a step what its loss is and which optimizers move the
weights; everything it draws comes from (seed, step), so a resumed run draws what an uninterrupted one would
have drawn, and several processes draw the same batch and take their rows of it.
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Protocol

import torch
from accelerate.utils import reduce
from torch import Tensor, nn

from marmor.base.errors import UserError
from marmor.training.average import Average
from marmor.training.board import Board
from marmor.training.budget import Budget
from marmor.training.checkpoints import Checkpoint, Checkpoints
from marmor.training.optimizers import Optimizers
from marmor.training.precision import NumberFormat, Precision, autocast, resolve
from marmor.training.processes import processes
from marmor.training.replicas import Batch, Replicas, threads_for
from marmor.training.run import RunFolder


@dataclass(frozen=True)
class Turn:
    """One backward pass and the step of its optimizers; networks that play against each other take turns.

    Args:
        loss: (module, rows of the batch) → means over them by name; ``"loss"`` is minimised. They are logged
            as NAME.loss and so on.
        optimizers: what moves; gradients that reach other weights are thrown away.
        name: "" where a step has one turn.
        before: done once before the turn, with the module.
        after: told the module and the turn's scalars, once the weights have moved; what it changes in the
            module's buffers is in the next checkpoint.
        whole: its rows say something together only, so that threads do not share them; several processes do.
    """

    loss: Callable[[nn.Module, Batch], dict[str, Tensor]]
    optimizers: Optimizers
    name: str = ""
    before: Callable[[nn.Module], None] = lambda module: None
    after: Callable[[nn.Module, dict[str, float]], None] = lambda module, scalars: None
    whole: bool = False

    def named(self, scalars: dict[str, float]) -> dict[str, float]:
        """As the log calls them."""
        return {f"{self.name}.{key}": v for key, v in scalars.items()} if self.name else scalars


class Method(Protocol):
    """What one step of training is."""

    dataset_size: int
    batch_size: int

    def turns(self, step: int) -> Sequence[Turn]:
        """What a step does, in order; most methods have one turn. The optimizers are those of step 0."""
        ...

    @property
    def module(self) -> nn.Module:
        """The network that is trained."""
        ...

    def draw(self, step: int, turn: int) -> Batch:
        """The whole batch of a turn of a step, both counted from 0; tensors with equal first dimension."""
        ...

    def rate(self, progress: float) -> float:
        """The factor on every learning rate at a progress in [0, 1]."""
        ...


@dataclass(frozen=True)
class LoopSettings:
    """How the loop runs, whatever the method.

    ``channels_last``: whether convolutions compute in the order of memory that is fastest for them; GroupNorm
    in bfloat16 is slower so, on a CPU, and networks of few channels spend more of their time there.
    """

    budget: Budget
    ema: float = 0.995
    precision: Precision = "auto"
    clip_norm: float = 1.0
    log_every: int = 20
    checkpoint_seconds: float = 60.0
    milestones: int = 8
    channels_last: bool = True


@dataclass
class Position:
    """Where a run stands."""

    step: int = 0
    images: int = 0
    seconds: float = 0.0
    pending: dict[str, float] = field(default_factory=dict)
    """Sums of the scalars since the last log line."""
    pending_steps: int = 0
    """How many steps these sums are of."""
    milestone: int = 0
    """How many of the budget's milestones have been probed."""
    retreats: list[dict[str, Any]] = field(default_factory=list)
    """Each time a guard sent the run back: why, from which log record, and back to which step."""


Watch = Callable[[float, dict[str, Any]], None]
"""Called at every logged step with the progress and the log record; draws a progress bar, say."""


Probe = Callable[[nn.Module], dict[str, float]]
"""Measures the averaged module at a milestone, off the clock; its figures join the log record."""


Guard = Callable[[dict[str, Any]], str | None]
"""Says in one sentence what is wrong with a milestone, by its log record, or None."""

Alarm = Callable[[dict[str, Any]], str | None]
"""The same of any other line of the log, which no probe has measured anything for."""

Begin = Callable[[nn.Module, int], None]
"""Told before the first step and after every retreat: where the averaged weights are, which a teacher
may be, and how often a guard has sent the run back, which calls for gentler steps."""

MOST_RETREATS = 6
GAVE_UP = "gave_up"
"""In the last line of the log: why a run that was sent back once more ended."""


class DivergenceError(UserError):
    """The loss or a gradient is not a finite number, or a guard has sent the run back too often."""


class _NotFiniteError(Exception):
    """What is not finite, in a clause; no weight has moved in the turn where it was seen."""


def fit(
    method: Method,
    run: RunFolder,
    settings: LoopSettings,
    watch: Watch,
    probe: Probe | None = None,
    guard: Guard | None = None,
    begin: Begin = lambda average, retreats: None,
    alarm: Alarm | None = None,
) -> Average:
    """Trains from the run's newest checkpoint, or from the start, to the end of the budget.

    Returns the averaged module. Ctrl-C or SIGTERM saves a checkpoint and raises KeyboardInterrupt.
    Raises DivergenceError when the loss is no longer finite; the last checkpoint stays as it is.
    Where ``guard`` finds a milestone bad or ``alarm`` another line of the log, or there is a guard and the
    loss is no longer finite, the run goes back to the last good milestone, and, where it then comes no
    further, to its start; ``begin`` is told, and the first log line from there on says why under
    ``"retreat"``. The seventh time it stops with DivergenceError, and the last line of the log says why under
    ``"gave_up"``. Without a guard no alarm is heard.
    """
    return _Fit(method, run, settings, watch, probe, guard, begin, alarm).run_to_end()


class _Fit:
    def __init__(
        self,
        method: Method,
        run: RunFolder,
        settings: LoopSettings,
        watch: Watch,
        probe: Probe | None,
        guard: Guard | None,
        begin: Begin,
        alarm: Alarm | None,
    ) -> None:
        self.method, self.run, self.settings = method, run, settings
        self.watch, self.probe, self.guard, self.begin = watch, probe, guard, begin
        self.alarm = alarm
        self.processes = processes()
        self.device = torch.device(self.processes.device or "cpu")
        self.precision: NumberFormat = resolve(settings.precision, self.device)
        self.module = method.module.to(self.device)
        if settings.channels_last:
            _channels_last(self.module)
        self.average = Average(self.module, settings.ema)
        rows, uneven = divmod(method.batch_size, self.processes.num_processes)
        if uneven:
            raise UserError(
                f"a batch of {method.batch_size} cannot be shared by {self.processes.num_processes} "
                "processes; choose a multiple with --batch."
            )
        whole = any(turn.whole for turn in method.turns(0))
        threads = 1 if whole else threads_for(self.module, rows, self.device)
        self.replicas = Replicas(self.module, threads)
        self.board = Board(run.path) if self.processes.is_main_process else None
        self.at = Position()

    def run_to_end(self) -> Average:
        self._resume()
        if self._progress() >= 1:
            return self.average
        if self.guard is not None and self.at.step == 0:
            self._save(self.run.start)
            self._save(self.run.good)
        self.begin(self.average.module, len(self.at.retreats))
        self.module.train()
        try:
            with _interruptible() as interrupted:
                self._steps(interrupted)
        finally:
            self.replicas.close()
            if self.board is not None:
                self.board.close()
        return self.average

    def _steps(self, interrupted: threading.Event) -> None:
        clock = saved = time.monotonic()
        progress = self._progress()
        while progress < 1:
            try:
                scalars = self._step(progress)
            except _NotFiniteError as error:
                self._diverged(str(error))
                clock, progress = time.monotonic(), self._progress()
                continue
            now = time.monotonic()
            self.at.step += 1
            self.at.images += self.method.batch_size
            self.at.seconds += now - clock
            clock = now
            self.at.pending_steps += 1
            for name, value in scalars.items():
                self.at.pending[name] = self.at.pending.get(name, 0.0) + value
            progress = self._progress()
            if self.at.step % self.settings.log_every == 0 or progress >= 1:
                self._log(progress)
                clock = time.monotonic()
                progress = self._progress()  # a guard may have sent the run back
            if self._anywhere(interrupted.is_set()):
                self._save(self.run.checkpoints)
                raise KeyboardInterrupt
            if now - saved > self.settings.checkpoint_seconds:
                self._save(self.run.checkpoints)
                saved = time.monotonic()
        self._save(self.run.checkpoints)
        self.processes.wait_for_everyone()

    def _step(self, progress: float) -> dict[str, float]:
        rate = self.method.rate(progress)
        scalars: dict[str, float] = {}
        for number, turn in enumerate(self.method.turns(self.at.step)):
            drawn = self.method.draw(self.at.step, number)
            batch = {name: self._rows(values) for name, values in drawn.items()}
            scalars |= turn.named(self._turn(turn, batch, rate))
        self.average.update(self.module, self.at.step + 1)
        return scalars

    def _turn(self, turn: Turn, batch: Batch, rate: float) -> dict[str, float]:
        turn.before(self.module)
        scalars = self._reduce(self.replicas.backward(partial(self._loss, turn), batch))
        moved = turn.optimizers.parameters()
        norm = nn.utils.clip_grad_norm_(moved, self.settings.clip_norm).item()
        if not (math.isfinite(scalars["loss"]) and math.isfinite(norm)):
            raise _NotFiniteError(f"the loss is {scalars['loss']} and the gradient norm {norm}")
        turn.optimizers.step(rate, self.replicas)
        turn.after(self.module, scalars)
        return {**scalars, "gradient_norm": norm}

    def _loss(self, turn: Turn, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        with autocast(self.precision, self.device):
            return turn.loss(module, batch)

    def _rows(self, values: Tensor) -> Tensor:
        """This process's rows of a batch."""
        parts = values.tensor_split(self.processes.num_processes)
        return parts[self.processes.process_index].to(self.device)

    def _reduce(self, scalars: dict[str, float]) -> dict[str, float]:
        """Means of gradients and scalars over all processes."""
        if self.processes.num_processes == 1:
            return scalars
        gradients = [p.grad for p in self.module.parameters() if p.grad is not None]
        values = torch.tensor(list(scalars.values()), device=self.device)
        flat = torch.cat([values, *(gradient.flatten() for gradient in gradients)])
        flat = reduce(flat, "mean")
        assert isinstance(flat, Tensor)
        pieces = flat[len(values) :].split([gradient.numel() for gradient in gradients])
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view_as(gradient))
        return dict(zip(scalars, flat[: len(values)].tolist(), strict=True))

    def _progress(self) -> float:
        progress = self.settings.budget.progress(
            self.at.step, self.at.images, self.at.seconds, self.method.dataset_size
        )
        if self.processes.num_processes == 1 or self.settings.budget.minutes is None:
            return progress
        # Clocks differ between processes: all of them follow the mean.
        mean = reduce(torch.tensor(progress, device=self.device), "mean")
        assert isinstance(mean, Tensor)
        return mean.item()

    def _anywhere(self, here: bool) -> bool:
        """Whether something holds in any process: all of them must stop at the same step."""
        if self.processes.num_processes == 1:
            return here
        count = reduce(torch.tensor(float(here), device=self.device), "sum")
        assert isinstance(count, Tensor)
        return count.item() > 0

    def _log(self, progress: float) -> None:
        """Logs the means over the steps since the last line; probes a milestone."""
        steps = self.at.pending_steps
        record = {
            **self._place(),
            "rate": self.method.rate(progress),
            **{name: total / steps for name, total in self.at.pending.items()},
            **self._came_back(self.at.step - steps),
        }
        self.at.pending, self.at.pending_steps = {}, 0
        reached = int(progress * self.settings.milestones)
        passed, self.at.milestone = reached > self.at.milestone, reached
        if self.processes.is_main_process:
            if passed and self.probe is not None:
                record |= self.probe(self.average.module)
            self.run.log(record)
            if self.board is not None:
                self.board.write(record)
            self.watch(progress, record)
        asks = self.guard if passed else self.alarm
        if self.guard is not None and asks is not None:
            self._look_after(asks, record, passed)

    def _place(self) -> dict[str, Any]:
        """Where the run stands, as every line of the log begins."""
        at = self.at
        return {"step": at.step, "images": at.images, "seconds": round(at.seconds, 3)}

    def _came_back(self, step: int) -> dict[str, str]:
        """Why the run was last sent back to ``step``; earlier reasons too, whose lines the log lost by it."""
        retreats = self.at.retreats
        if not retreats or retreats[-1]["back_to"] != step:
            return {}
        why = [str(each["why"]) for each in retreats if each["back_to"] >= step]
        return {"retreat": "; then ".join(why)}

    def _look_after(self, asks: Guard | Alarm, record: dict[str, Any], milestone: bool) -> None:
        """Goes back where a line of the log is bad; keeps a good milestone."""
        wrong = asks(record) if self.processes.is_main_process else None
        if self._anywhere(wrong is not None):
            self._retreat(wrong, record)
        elif milestone:
            self._save(self.run.good)

    def _diverged(self, wrong: str) -> None:
        """Goes back where there is a guard; the seventh time, or without one, raises DivergenceError."""
        if self.guard is None:
            raise DivergenceError(self._divergence(wrong))
        self._retreat(wrong, self._place())

    def _retreat(self, wrong: str | None, record: dict[str, Any]) -> None:
        """Goes back to the last good milestone, because of ``wrong``."""
        seen = {"why": wrong, "record": record}
        retreats = [*self.at.retreats, seen]
        if len(retreats) > MOST_RETREATS:
            if self.processes.is_main_process:
                self.run.log({**self._place(), GAVE_UP: wrong})
            raise DivergenceError(
                f"training stopped at step {self.at.step}, sent back for the {len(retreats)}th time: "
                f"{wrong}. Start a new run with another method or --seed."
            )
        # Where the last good milestone led no further, what is wrong began before it.
        no_further = len(retreats) > 1 and self.at.step <= retreats[-2]["record"]["step"]
        self._load(self.run.start if no_further else self.run.good)
        self.at.retreats = [*retreats[:-1], {**seen, "back_to": self.at.step}]
        self._save(self.run.checkpoints)
        if self.processes.is_main_process:  # afterwards: a resume from what was saved rewinds too
            self.run.rewind_log(self.at.step)
        self.begin(self.average.module, len(retreats))

    def _save(self, where: Checkpoints) -> None:
        if self.processes.is_main_process:
            where.save(
                Checkpoint(
                    model=self.module.state_dict(),
                    average=self.average.module.state_dict(),
                    optimizer=[s for each in self._movers() for s in each.state_dict()],
                    position=asdict(self.at),
                )
            )

    def _resume(self) -> None:
        loaded = self._load(self.run.checkpoints)
        if self.processes.is_main_process:
            self.run.rewind_log(self.at.step if loaded else 0)

    def _load(self, where: Checkpoints) -> bool:
        """Takes up the newest checkpoint, if there is one."""
        checkpoint = where.load()
        if checkpoint is None:
            return False
        self.module.load_state_dict(checkpoint.model)
        self.average.module.load_state_dict(checkpoint.average)
        states = iter(checkpoint.optimizer)
        for optimizers in self._movers():
            optimizers.load_state_dict([next(states) for _ in optimizers.parts])
        self.at = Position(**checkpoint.position)
        return True

    def _movers(self) -> list[Optimizers]:
        """Each optimizer once: several turns may share one."""
        return list(
            {id(turn.optimizers): turn.optimizers for turn in self.method.turns(0)}.values()
        )

    def _divergence(self, wrong: str) -> str:
        latest = self.run.checkpoints.latest()
        back = f"the run is back at {latest}" if latest else "there is no checkpoint to go back to"
        return (
            f"training stopped at step {self.at.step + 1}: {wrong}; {back}. "
            "Start a new run with --precision fp32 or another --seed."
        )


def _channels_last(module: nn.Module) -> None:
    """Convolution weights in the memory order that CPUs and GPUs convolve fastest."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM set the event at the end of the step; a second Ctrl-C stops at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def ask(number: int, frame: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
