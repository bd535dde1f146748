"""Error of every sampler against the number of network calls, where the truth is known exactly.

    python benchmarks/convergence.py --out docs/images

Images of one pixel from a mixture of three Gaussians have a perfect denoiser, so what is left is the
sampler's own error: the Wasserstein-1 distance between what it draws and the mixture. The noises are
the normal distribution's quantiles, so deterministic samplers have no luck in it; for those with fresh
noise, as many draws from the mixture itself show how much is luck. Writes
samplers.png and samplers.csv, and prints a table in Markdown. Seconds on any machine.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import tyro
from torch import Tensor

from marmor.base.files import write_csv
from marmor.base.progress import console
from marmor.diffusion import (
    Churn,
    State,
    ddim,
    ddpm,
    dpm_solver_2m,
    euler,
    exact_denoiser,
    heun,
    karras_times,
    linear_betas,
    unipc,
)
from marmor.figures import curves, save_png

MEANS = torch.tensor([-0.7, 0.1, 0.8], dtype=torch.float64)
STDS = torch.tensor([0.08, 0.15, 0.05], dtype=torch.float64)
WEIGHTS = torch.tensor([0.3, 0.5, 0.2], dtype=torch.float64)
TABLE = 1000
LEAST = 0.01
"""Ratio of noise to signal at the last step but one."""

Sampler = Callable[..., Iterator[State]]
SAMPLERS: dict[str, tuple[Sampler, int]] = {
    "DDPM, large variance": (ddpm, 1),
    "DDPM, small variance": (partial(ddpm, variance="small"), 1),
    "DDIM, eta 1": (partial(ddim, eta=1.0), 1),
    "DDIM, eta 0.5": (partial(ddim, eta=0.5), 1),
    "DDIM (= Euler)": (ddim, 1),
    "Euler, churn 10": (partial(euler, churn=Churn(10.0)), 1),
    "Heun": (heun, 2),
    "Heun, churn 10": (partial(heun, churn=Churn(10.0)), 2),
    "DPM-Solver++(2M)": (dpm_solver_2m, 1),
    "SDE-DPM-Solver++(2M)": (partial(dpm_solver_2m, eta=1.0), 1),
    "UniPC-2": (unipc, 1),
    "UniPC-3": (partial(unipc, order=3), 1),
}
"""Each with its network calls a step; Heun's last step, to no noise, takes one."""


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Args:
        calls: numbers of network calls, even ones.
        images: drawn for each figure.
        seed: of fresh noise.
        out: folder for samplers.png and samplers.csv.
    """

    calls: tuple[int, ...] = (6, 8, 10, 12, 16, 20, 30, 50, 100, 200)
    images: int = 20_000
    seed: int = 0
    out: Path = Path("docs/images")


def main(settings: Settings) -> None:
    rows = {
        name: [error(sampler, (calls + each - 1) // each, settings) for calls in settings.calls]
        for name, (sampler, each) in SAMPLERS.items()
    }
    rows["draws from the mixture itself"] = [luck(settings)] * len(settings.calls)
    calls = [float(count) for count in settings.calls]
    series = {name: (calls, errors) for name, errors in rows.items()}
    title = "Samplers on an exact mixture"
    image = curves(series, "network calls", "Wasserstein-1 distance", title, logx=True, logy=True)
    save_png(image, settings.out / "samplers.png")
    table = [("sampler", *settings.calls), *((name, *errors) for name, errors in rows.items())]
    write_csv(settings.out / "samplers.csv", table)
    console.print("| calls | " + " | ".join(map(str, settings.calls)) + " |")
    console.print("|---" * (len(settings.calls) + 1) + "|")
    for name, errors in rows.items():
        console.print(f"| {name} | " + " | ".join(f"{value:.4f}" for value in errors) + " |")


def error(sampler: Sampler, steps: int, settings: Settings) -> float:
    """Distance to the mixture of what a sampler draws along ``steps`` steps."""
    schedule, stream = linear_betas(TABLE), torch.Generator().manual_seed(settings.seed)
    denoise = exact_denoiser(schedule, MEANS.view(-1, 1, 1, 1), STDS, WEIGHTS)

    def draw(x: Tensor) -> Tensor:
        return torch.randn(x.shape, generator=stream, dtype=x.dtype)

    x = torch.special.ndtri(shares(settings.images)).view(-1, 1, 1, 1)
    times = karras_times(steps, schedule, low=LEAST)
    for state in sampler(denoise, x, times, schedule, draw=draw):
        x = state.x
    return distance(x.flatten())


def luck(settings: Settings) -> float:
    """Distance to the mixture of as many draws from it, once."""
    stream = torch.Generator().manual_seed(settings.seed)
    chosen = torch.multinomial(WEIGHTS, settings.images, replacement=True, generator=stream)
    noise = torch.randn(settings.images, generator=stream, dtype=torch.float64)
    return distance(MEANS[chosen] + STDS[chosen] * noise)


def distance(found: Tensor) -> float:
    """Wasserstein-1 distance of samples (N,) to the mixture: the mean gap between their quantiles."""
    return (found.sort().values - quantiles(len(found))).abs().mean().item()


def quantiles(count: int) -> Tensor:
    """The mixture's quantiles at ``shares``, off a fine table of its distribution function."""
    grid = torch.linspace(-3, 3, 200_001, dtype=torch.float64)
    below = (WEIGHTS * torch.special.ndtr((grid[:, None] - MEANS) / STDS)).sum(1)
    return grid[torch.searchsorted(below, shares(count)).clamp(max=len(grid) - 1)]


def shares(count: int) -> Tensor:
    """The middles of ``count`` equal parts of [0, 1]."""
    return (torch.arange(count, dtype=torch.float64) + 0.5) / count


if __name__ == "__main__":
    main(tyro.cli(Settings))
