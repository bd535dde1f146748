"""Noise and its removal: schedules, predictions, denoisers, objectives, guidance, samplers."""

from marmor.diffusion.denoisers import Denoiser
from marmor.diffusion.guidance import Guidance, clip, guide
from marmor.diffusion.objectives import LogitNormal, MinSnr, TimeSampling, UniformSteps
from marmor.diffusion.predictions import (
    Estimate,
    FlowPrediction,
    ImagePrediction,
    NoisePrediction,
    PreconditionedPrediction,
    Prediction,
    VelocityPrediction,
)
from marmor.diffusion.samplers import State, ddim, ddpm, dpm_solver_2m, uniform_times
from marmor.diffusion.schedules import (
    Cosine,
    Discrete,
    Flow,
    Schedule,
    linear_betas,
    script_betas,
)

__all__ = [
    "Cosine",
    "Denoiser",
    "Discrete",
    "Estimate",
    "Flow",
    "FlowPrediction",
    "Guidance",
    "ImagePrediction",
    "LogitNormal",
    "MinSnr",
    "NoisePrediction",
    "PreconditionedPrediction",
    "Prediction",
    "Schedule",
    "State",
    "TimeSampling",
    "UniformSteps",
    "VelocityPrediction",
    "clip",
    "ddim",
    "ddpm",
    "dpm_solver_2m",
    "guide",
    "linear_betas",
    "script_betas",
    "uniform_times",
]
