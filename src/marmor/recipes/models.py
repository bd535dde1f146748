"""Loading what was trained: run folders, shipped weights, foreign checkpoints."""

from dataclasses import dataclass, replace
from pathlib import Path

from marmor.base.errors import UserError, unknown_name
from marmor.data import ImageSet
from marmor.diffusion import Denoiser
from marmor.networks import context_unet, judges
from marmor.networks.checkpoints import load_into, load_state, recognise
from marmor.networks.judges import DigitJudge, Judge
from marmor.recipes.designs import DESIGNS, Drawing, as_published
from marmor.recipes.folders import PRETRAINED, open_folder, pretrained

DEFAULT_JUDGE = "digit-judge"


@dataclass(frozen=True)
class Generator:
    """A class-conditional model that is ready to draw."""

    denoiser: Denoiser
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    drawing: Drawing
    origin: str


@dataclass(frozen=True)
class LoadedJudge:
    """A classifier that is ready to read, and where it comes from."""

    judge: Judge
    class_names: tuple[str, ...]
    origin: str
    side: int | None = None
    """Side of the images it was trained on; None where that is not known."""

    def prepare(self, images: ImageSet) -> ImageSet:
        """The images in the size and channels that the judge reads; notes say what was done."""
        if self.judge.channels == 3 and images.channels == 1:
            images = images.colour()
        side = self.judge.image_size or self.side
        if side is not None and images.size != (side, side):
            images = images.resized(side)
        return images


def load_generator(spec: str) -> Generator:
    """A run folder of the recipe `digits`, `pretrained:NAME`, or a ContextUnet checkpoint file."""
    folder = open_folder(spec, "digits")
    if folder is None:
        return _foreign_generator(Path(spec))
    settings, weights, images = folder
    model = settings["model"]
    if model["network"] not in DESIGNS:
        raise unknown_name("network", model["network"], DESIGNS)
    design = DESIGNS[model["network"]]
    denoiser = design.build(tuple(model["image_shape"]), len(model["class_names"]))
    load_into(denoiser, weights, spec)
    drawing = replace(design.drawing_after(images), **settings.get("drawing", {}))
    names, shape = tuple(model["class_names"]), tuple(model["image_shape"])
    return Generator(denoiser.eval(), names, shape, drawing, spec)


def load_judge(spec: str) -> LoadedJudge:
    """A run folder of the recipe `judge`, `pretrained:NAME`, or the course's checkpoint file."""
    folder = open_folder(spec, "judge")
    if folder is None:
        judge = judges.from_state_dict(load_state(Path(spec)))
        return LoadedJudge(judge.eval(), _digits(judge.classes), spec)
    settings, weights, _ = folder
    model = settings["model"]
    judge = DigitJudge(len(model["class_names"]), model["channels"])
    load_into(judge, weights, spec)
    return LoadedJudge(judge.eval(), tuple(model["class_names"]), spec, model["side"])


def find_judge(spec: str | None, class_names: tuple[str, ...]) -> LoadedJudge | None:
    """The judge that was named; else the shipped one where it knows the classes; else None."""
    if spec is not None:
        return load_judge(spec)
    shipped = pretrained().get(DEFAULT_JUDGE)
    if shipped is None or not set(class_names) <= set(shipped["settings"]["model"]["class_names"]):
        return None
    return load_judge(PRETRAINED + DEFAULT_JUDGE)


def _foreign_generator(path: Path) -> Generator:
    state = load_state(path)
    kind = recognise(state)
    if kind != "context-unet":
        raise UserError(
            f"{path} holds a {kind}, which draws nothing; name a ContextUnet checkpoint."
        )
    network = context_unet.from_state_dict(state)
    side = network.image_size
    shape = (network.in_channels, side, side)
    drawing = DESIGNS["context-unet"].drawing
    names = _digits(network.classes)
    return Generator(as_published(network).eval(), names, shape, drawing, str(path))


def _digits(count: int) -> tuple[str, ...]:
    return tuple(str(index) for index in range(count))
