"""Checkpoints that marmor did not train, as generators: the public ContextUnet and the course's U-Net."""

from dataclasses import replace
from pathlib import Path

from marmor.base.conditions import ClassLabel, Condition
from marmor.base.errors import UserError
from marmor.base.progress import console
from marmor.data import CLASS
from marmor.diffusion import Denoiser, NoisePrediction, linear_betas
from marmor.networks import context_unet, unet
from marmor.networks.checkpoints import State, load_into, load_state, recognise, without_prefix
from marmor.networks.steps import InSteps
from marmor.networks.unet import UNet
from marmor.recipes.denoising import DiffusionGenerator
from marmor.recipes.designs import DESIGNS, TABLE, Drawing, as_published

SIDE = 256
"""Side of the images it was trained on; it draws any side that can be halved at every level."""

DDIM = Drawing("ddim", 50, spacing="leading", guidance=1.0, guided_from=0.0, start=1.0, clip=None)
"""How public scripts draw from such a U-Net."""


def load_foreign(path: Path) -> DiffusionGenerator:
    """A generator from a file of weights, whose names and shapes say what it is; UserError otherwise."""
    state = load_state(path)
    kind = recognise(state)
    if kind == "context-unet":
        network = context_unet.from_state_dict(state)
        shape = (network.in_channels, network.image_size, network.image_size)
        drawing = replace(DESIGNS["context-unet"].drawing, black=_black(network.in_channels, path))
        denoiser = as_published(network).eval()
        return DiffusionGenerator(
            denoiser, {CLASS: numbered(network.classes)}, shape, drawing, str(path)
        )
    if kind == "unet":
        network = _unet(state, path)
        shape = (network.shape.channels, SIDE, SIDE)
        vocabulary = {name: numbered(count) for name, count in network.shape.classes.items()}
        denoiser = as_ddpm(network).eval()
        return DiffusionGenerator(denoiser, vocabulary, shape, DDIM, str(path), network.multiple)
    raise UserError(f"{path} holds a {kind}, which draws nothing; name a ContextUnet or a U-Net.")


def _black(channels: int, path: Path) -> float:
    """The value that stands for black, which weights do not tell: the public script's, for grey images."""
    black = 0.0 if channels == 1 else -1.0
    console.print(
        f"note: {path} is taken for a model of values in [{black:g}, 1]; `marmor sample --black` says "
        "otherwise."
    )
    return black


def as_ddpm(network: UNet) -> Denoiser:
    """A U-Net that predicts noise along DDPM's 1000 linear betas and counts their steps from 0."""
    kinds: dict[str, Condition] = {
        name: ClassLabel(count) for name, count in network.shape.classes.items()
    }
    return Denoiser(InSteps(network, TABLE), linear_betas(TABLE), NoisePrediction(), kinds)


def numbered(count: int) -> tuple[str, ...]:
    """Names for classes that nobody named: 0, 1, 2, …"""
    return tuple(str(index) for index in range(count))


def _unet(state: State, path: Path) -> UNet:
    weights = without_prefix(state, "nn_model.")
    try:
        network = unet.from_state_dict(weights)
    except (ValueError, IndexError, KeyError) as error:
        raise UserError(
            f"{path} holds a U-Net of a kind that cannot be built: {error}; widths must be multiples of "
            "32 and every level must begin with a residual stage."
        ) from error
    load_into(network, weights, str(path))
    return network.eval()
