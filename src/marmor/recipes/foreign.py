"""Checkpoints that marmor did not train, as generators: the public ContextUnet and the course's U-Net."""

from pathlib import Path

from marmor.base.errors import UserError
from marmor.diffusion import Denoiser, NoisePrediction, linear_betas
from marmor.networks import context_unet, unet
from marmor.networks.checkpoints import State, load_into, load_state, recognise
from marmor.networks.steps import InSteps
from marmor.networks.unet import UNet
from marmor.recipes.designs import DESIGNS, Drawing, as_published
from marmor.recipes.generators import Generator

TABLE = 1000
"""Steps of the linear betas that the course's U-Net was trained with."""

SIDE = 256
"""Side of the images it was trained on; it draws any side that can be halved at every level."""

DDIM = Drawing("ddim", 50, spacing="leading", guidance=1.0, guided_from=0.0, start=1.0, clip=None)
"""How public scripts draw from such a U-Net."""


def load_foreign(path: Path) -> Generator:
    """A generator from a file of weights, whose names and shapes say what it is; UserError otherwise."""
    state = load_state(path)
    kind = recognise(state)
    if kind == "context-unet":
        network = context_unet.from_state_dict(state)
        shape = (network.in_channels, network.image_size, network.image_size)
        drawing = DESIGNS["context-unet"].drawing
        denoiser = as_published(network).eval()
        return Generator(denoiser, numbered(network.classes), shape, drawing, str(path))
    if kind == "unet":
        network = _unet(state, path)
        shape = (network.shape.channels, SIDE, SIDE)
        sides = 2 ** (len(network.shape.widths) - 1)
        return Generator(as_ddpm(network).eval(), (), shape, DDIM, str(path), sides)
    raise UserError(f"{path} holds a {kind}, which draws nothing; name a ContextUnet or a U-Net.")


def as_ddpm(network: UNet, offset: int = -1) -> Denoiser:
    """A U-Net that predicts noise along DDPM's 1000 linear betas.

    ``offset`` says which step it is shown at alpha-bar number k = 1 … 1000: k + ``offset``.
    """
    return Denoiser(InSteps(network, TABLE, offset), linear_betas(TABLE), NoisePrediction(), {})


def numbered(count: int) -> tuple[str, ...]:
    """Names for classes that nobody named: 0, 1, 2, …"""
    return tuple(str(index) for index in range(count))


def _unet(state: State, path: Path) -> UNet:
    network = unet.from_state_dict(state)
    load_into(network, state, str(path))
    return network.eval()
