"""A model that is ready to draw."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from marmor.base.errors import UserError
from marmor.data import CLASS, DOMAIN
from marmor.diffusion import Denoiser, LogLikelihood
from marmor.networks.steps import InSteps
from marmor.networks.unet import UNet
from marmor.recipes.designs import Drawing

EVERYWHERE = ""
"""The one domain of a model that knows none."""


@dataclass(frozen=True)
class Steering:
    """A judge that moves what is drawn towards what is asked for.

    Args:
        log_likelihood: what the judge says of images.
        scale: how strongly, 1 as Bayes' rule has it.
        remark: the sentence that tells it wherever its images are scored.
    """

    log_likelihood: LogLikelihood
    scale: float
    remark: str


@dataclass(frozen=True)
class Generator:
    """A denoiser, what it can be asked for, and how it is drawn from.

    Args:
        denoiser: in evaluation mode.
        vocabulary: for each condition, what can be asked for; {} for a model without any.
        image_shape: (C, H, W) of the images it was trained on.
        drawing: its own way of drawing.
        origin: where it comes from, as a person wrote it.
        sides: any sides that are multiples of this can be drawn; None: only those of image_shape.
        steering: a judge that steers its images; None for none.
    """

    denoiser: Denoiser
    vocabulary: Mapping[str, tuple[str, ...]]
    image_shape: tuple[int, int, int]
    drawing: Drawing
    origin: str
    sides: int | None = None
    steering: Steering | None = None

    @property
    def remark(self) -> str:
        """What must be known of its images wherever they are scored; "" for nothing."""
        return self.steering.remark if self.steering else ""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes it can be asked for; () for a model without any."""
        return self.vocabulary.get(CLASS, ())

    @property
    def domains(self) -> tuple[str, ...]:
        """The places whose images it draws; of a model that knows none, EVERYWHERE alone."""
        return self.vocabulary.get(DOMAIN, (EVERYWHERE,))


def sides_of(denoiser: Denoiser) -> int | None:
    """``Generator.sides`` of marmor's own networks: the U-Net alone draws other sides."""
    network = denoiser.network.network if isinstance(denoiser.network, InSteps) else None
    return network.multiple if isinstance(network, UNet) else None


def check_noise(generator: Generator, noise: Tensor, where: str) -> None:
    """Raises UserError where a model cannot start from noise (N, C, H, W), which ``where`` names."""
    channels, *sides = noise.shape[1:]
    wanted, *own = generator.image_shape
    if channels != wanted:
        raise UserError(
            f"{where} has {channels} channels; {generator.origin} draws images of {wanted}."
        )
    if generator.sides is None and sides != own:
        raise UserError(
            f"{where} has {_by(sides)} places; {generator.origin} draws {_by(own)} only."
        )
    if generator.sides is not None and any(side % generator.sides for side in sides):
        raise UserError(
            f"{where} has {_by(sides)} places; {generator.origin} takes sides that are multiples of "
            f"{generator.sides}."
        )


def _by(sides: list[int]) -> str:
    return " × ".join(map(str, sides))
