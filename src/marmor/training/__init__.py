"""The one loop, and what it stands on: budgets, replicas, optimizers, EMA, the run folder."""

from marmor.training.average import Average
from marmor.training.budget import Budget, linear_decay, warmup_then_linear
from marmor.training.loop import DivergenceError, LoopSettings, Method, Probe, fit
from marmor.training.optimizers import Optimizers, adam, muon_and_adamw
from marmor.training.precision import NumberFormat, Precision, autocast, resolve
from marmor.training.replicas import Batch
from marmor.training.run import Checkpoint, RunFolder, environment, load_weights

__all__ = [
    "Average",
    "Batch",
    "Budget",
    "Checkpoint",
    "DivergenceError",
    "LoopSettings",
    "Method",
    "NumberFormat",
    "Optimizers",
    "Precision",
    "Probe",
    "RunFolder",
    "adam",
    "autocast",
    "environment",
    "fit",
    "linear_decay",
    "load_weights",
    "muon_and_adamw",
    "resolve",
    "warmup_then_linear",
]
