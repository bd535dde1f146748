"""Pictures of a concept's kind, which keep a pipeline from forgetting it: drawn by itself, or given.

Kumari et al. 2023, section 3.2: 200 of them for each concept. There they are photographs with captions;
here the pipeline draws them, as Ruiz et al. 2023 do, where none are given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.pixels import to_bytes
from marmor.base.progress import progress_bar
from marmor.base.seeds import torch_stream
from marmor.data import ImageSet, join, read
from marmor.figures import save_png
from marmor.personalization import decode
from marmor.recipes.drawing import picture
from marmor.training.processes import first_alone

BATCH = 8


@dataclass(frozen=True)
class Prior:
    """Pictures by concept, and what each of them is called.

    Args:
        images: of all concepts, one concept after another.
        counts: int64 (concepts,).
        tokens: int64 (N, L).
        weight: of their error beside that of the photos.
    """

    images: ImageSet
    counts: Tensor
    tokens: Tensor
    weight: float

    def draw(self, concepts: Tensor, stream: torch.Generator) -> Tensor:
        """For each photo, of the ``concepts`` (B,), a picture of the same one; int64 (B,)."""
        first = self.counts.cumsum(0) - self.counts
        share = torch.rand(len(concepts), generator=stream, dtype=torch.float64)
        return first[concepts] + (share * self.counts[concepts]).long()


def read_prior(
    folders: Sequence[Path], side: int, tokens: Sequence[Tensor], weight: float
) -> Prior:
    """The pictures in a folder a concept; picture n is called by sentence n modulo their number.

    ``tokens`` has int64 (sentences, L) a concept. Raises UserError for folders that cannot be read.
    """
    sets = [read(str(folder.resolve()), "train", side).unlabelled().colour() for folder in folders]
    called = [
        each[torch.arange(len(one)) % len(each)] for one, each in zip(sets, tokens, strict=True)
    ]
    return Prior(join(sets), torch.tensor([len(one) for one in sets]), torch.cat(called), weight)


def captions(word: str, sentences: Sequence[str]) -> list[str]:
    """What pictures of a kind are called; UserError for a sentence without {}."""
    if wrong := [sentence for sentence in sentences if "{}" not in sentence]:
        raise UserError(
            f"--prior-prompt {wrong[0]!r} should hold {{}}, where the concept's --word goes, such as "
            "'a photo of a {}'."
        )
    return [sentence.replace("{}", word) for sentence in sentences]


@dataclass(frozen=True)
class Drawing:
    """How a pipeline draws its own prior.

    Args:
        count: pictures of each concept's kind.
        steps: of the sampler, for each.
        guidance: scale of the prompt (Ho & Salimans 2021, as diffusers counts it: 1 is without).
        seed: of the noise.
    """

    count: int
    steps: int
    guidance: float
    seed: int


def draw_priors(
    pipeline: Any, folders: Sequence[Path], said: Sequence[list[str]], drawing: Drawing
) -> None:
    """Draws PNG files into each folder, called what ``said`` has for it; those there already stay.

    Each picture has noise of its own, and they are always drawn in the same batches: a run that was stopped
    sees those that an uninterrupted one sees. The first of several processes draws.
    """
    jobs = [
        (folder, sentences, range(first, min(first + BATCH, drawing.count)))
        for folder, sentences in zip(folders, said, strict=True)
        for first in range(0, drawing.count, BATCH)
    ]
    with first_alone() as first:
        if first:
            with progress_bar("prior pictures") as bar:
                for done, (folder, sentences, numbers) in enumerate(jobs):
                    _draw(pipeline, folder, sentences, numbers, drawing)
                    bar((done + 1) / len(jobs))


@torch.no_grad()
def _draw(
    pipeline: Any, folder: Path, sentences: list[str], numbers: range, drawing: Drawing
) -> None:
    files = [folder / f"{number:04d}.png" for number in numbers]
    if all(file.is_file() for file in files):
        return
    latents = pipeline(
        [sentences[number % len(sentences)] for number in numbers],
        num_inference_steps=drawing.steps,
        guidance_scale=drawing.guidance,
        generator=[torch_stream(drawing.seed, "prior", folder.name, n) for n in numbers],
        output_type="latent",
    ).images
    images = to_bytes(decode(pipeline, latents)).cpu()
    for file, image in zip(files, images, strict=True):
        save_png(picture(image), file)
