"""Loading what was trained: run folders, exports, shipped weights, files of weights."""

from dataclasses import dataclass, replace
from pathlib import Path

from marmor.base.errors import UserError, unknown_name
from marmor.data import CLASS, DOMAIN, ImageSet
from marmor.networks import judges
from marmor.networks.checkpoints import load_into, load_state
from marmor.networks.judges import DigitJudge, Judge
from marmor.recipes.conditions import Vocabulary, understood
from marmor.recipes.denoising import DiffusionGenerator, sides_of
from marmor.recipes.designs import DESIGNS
from marmor.recipes.folders import DRAWING_RECIPES, PRETRAINED, open_folder, pretrained
from marmor.recipes.foreign import load_foreign, numbered
from marmor.recipes.gan_designs import GANS
from marmor.recipes.generators import EVERYWHERE, Generator
from marmor.recipes.hub import is_hub, load_hub
from marmor.recipes.latents import as_generator

DEFAULT_JUDGE = "digit-judge"
SHIPPED_FOR = {
    EVERYWHERE: DEFAULT_JUDGE,
    "mnist-m": DEFAULT_JUDGE,
    "mnistm": DEFAULT_JUDGE,
    "house-numbers": "house-number-judge",
}
"""Judges that ship, by the domain that they were trained on; of others they would say little."""


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


def load_diffusion(spec: str) -> DiffusionGenerator:
    """``load_generator`` for what only diffusion models do; UserError for other models."""
    generator = load_generator(spec)
    if not isinstance(generator, DiffusionGenerator):
        raise UserError(
            f"{spec} is a GAN, which draws an image in one step; this is for diffusion models, which remove "
            "noise step by step: name one."
        )
    return generator


def load_generator(spec: str) -> Generator:
    """A run that draws, an export, `pretrained:NAME`, a file of weights, or a diffusers folder."""
    if is_hub(Path(spec)):
        return load_hub(Path(spec))
    folder = open_folder(spec, *DRAWING_RECIPES)
    if folder is None:
        return load_foreign(Path(spec))
    settings, weights, images = folder
    model = settings["model"]
    if model["network"] in GANS:
        return as_generator(model, weights, spec)
    if model["network"] not in DESIGNS:
        raise unknown_name("network", model["network"], [*DESIGNS, *GANS])
    if "conditions" not in model:
        raise UserError(
            f"{spec} was written by an earlier version of marmor, whose config.json does not tell its "
            "conditions; train it anew."
        )
    design = DESIGNS[model["network"]]
    shape = tuple(model["image_shape"])
    kinds, vocabulary = understood(model["conditions"])
    denoiser = design.build(shape, kinds)
    load_into(denoiser, weights, spec)
    drawing = replace(design.drawing_after(images, kinds), **settings.get("drawing", {}))
    sides = sides_of(denoiser)
    return DiffusionGenerator(denoiser.eval(), vocabulary, shape, drawing, spec, sides)


def load_judge(spec: str) -> LoadedJudge:
    """A run folder of the recipe `judge`, `pretrained:NAME`, or the course's checkpoint file."""
    folder = open_folder(spec, "judge")
    if folder is None:
        judge = judges.from_state_dict(load_state(Path(spec)))
        return LoadedJudge(judge.eval(), numbered(judge.classes), spec)
    settings, weights, _ = folder
    model = settings["model"]
    judge = DigitJudge(len(model["class_names"]), model["channels"])
    load_into(judge, weights, spec)
    return LoadedJudge(judge.eval(), tuple(model["class_names"]), spec, model["side"])


def find_judges(said: str | None, vocabulary: Vocabulary) -> dict[str, LoadedJudge]:
    """The judge of each domain that a model draws; of a model of one domain, the one for ``EVERYWHERE``.

    ``said``: a judge for all of them, or DOMAIN=JUDGE for each, with commas; where nothing is said, those
    that ship with marmor and know the classes. Empty for a model without classes, which no judge can read.
    Raises UserError where ``said`` names an unknown domain.
    """
    names = vocabulary.get(CLASS)
    domains = vocabulary.get(DOMAIN, (EVERYWHERE,))
    if names is None:
        return {}
    if said is None:
        found = {d: _shipped(SHIPPED_FOR[d], names) for d in domains if d in SHIPPED_FOR}
        return {domain: judge for domain, judge in found.items() if judge is not None}
    if DOMAIN not in vocabulary or "=" not in said:
        judge = load_judge(said)
        return dict.fromkeys(domains, judge)
    found = {}
    for part in said.split(","):
        domain, _, spec = part.strip().partition("=")
        if domain not in domains:
            raise unknown_name("domain", domain, domains)
        found[domain] = load_judge(spec)
    return found


def _shipped(name: str, class_names: tuple[str, ...]) -> LoadedJudge | None:
    """A judge that ships with marmor, where it knows the classes."""
    config = pretrained().get(name)
    if config is None or not set(class_names) <= set(config["settings"]["model"]["class_names"]):
        return None
    return load_judge(PRETRAINED + name)
