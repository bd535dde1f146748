"""The one loop, and what it stands on: budgets, replicas, optimizers, EMA, the run folder."""

from marmor.training.average import Average
from marmor.training.budget import Budget, linear_decay, warmup_then_linear
from marmor.training.checkpoints import Checkpoint, load_weights, save_weights
from marmor.training.loop import (
    GAVE_UP,
    Alarm,
    Begin,
    DivergenceError,
    Guard,
    LoopSettings,
    Method,
    Probe,
    Turn,
    Watch,
    fit,
)
from marmor.training.optimizers import Optimizers, adam, muon_and_adamw
from marmor.training.precision import NumberFormat, Precision, autocast, resolve
from marmor.training.replicas import Batch
from marmor.training.run import RunFolder, environment

__all__ = [
    "GAVE_UP",
    "Alarm",
    "Average",
    "Batch",
    "Begin",
    "Budget",
    "Checkpoint",
    "DivergenceError",
    "Guard",
    "LoopSettings",
    "Method",
    "NumberFormat",
    "Optimizers",
    "Precision",
    "Probe",
    "RunFolder",
    "Turn",
    "Watch",
    "adam",
    "autocast",
    "environment",
    "fit",
    "linear_decay",
    "load_weights",
    "muon_and_adamw",
    "resolve",
    "save_weights",
    "warmup_then_linear",
]
