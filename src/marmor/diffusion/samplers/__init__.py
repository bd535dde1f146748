"""Samplers: short generators over an explicit list of times that yield every state.

Each takes a denoiser bound to its conditions (``(x, t) → Estimate``), the starting noise x, a schedule
and falling times t_0 > t_1 > … > t_N; the step from t_i always goes to t_{i+1}, the next element of
the list. Step arithmetic is in float64; images stay in the dtype of x. Samplers know neither devices
nor files nor progress bars, and clip nothing.
"""

from marmor.diffusion.samplers.ancestral import ddpm
from marmor.diffusion.samplers.dpm_solver import dpm_solver_2m
from marmor.diffusion.samplers.edm import Churn, euler, heun
from marmor.diffusion.samplers.implicit import ddim, ddim_inversion
from marmor.diffusion.samplers.steps import State
from marmor.diffusion.samplers.unipc import unipc

__all__ = [
    "Churn",
    "State",
    "ddim",
    "ddim_inversion",
    "ddpm",
    "dpm_solver_2m",
    "euler",
    "heun",
    "unipc",
]
