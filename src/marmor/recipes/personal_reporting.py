"""From a personalized run to a page (S8): its photos, what its words draw, and what it keeps."""

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.files import read_settings
from marmor.data import read_picture
from marmor.figures import grid, stack
from marmor.networks.summary import Row, format_summary
from marmor.personalization import read_low_rank, read_projections
from marmor.recipes.concepts import SENTENCES, START, ConceptWishes, read_photos, wishes_of
from marmor.recipes.custom_diffusion import CustomSettings
from marmor.recipes.exploring import scale_of
from marmor.recipes.generating import RECORD, generate
from marmor.recipes.learned import (
    LOW_RANK,
    PROJECTIONS,
    base_of,
    check_whole,
    embedding_file,
    read_words,
    weights_file,
)
from marmor.recipes.lora import LoraSettings
from marmor.recipes.personal_page import KeptFile, PersonalFindings, page
from marmor.recipes.prompting import GenerateSettings
from marmor.recipes.publishing import clear, publish, taken, training_curves
from marmor.recipes.textual_inversion import InversionSettings
from marmor.recipes.training_images import check_same_images
from marmor.training import RunFolder

TRAINED: dict[str, type[ConceptWishes]] = {
    "textual-inversion": InversionSettings,
    "custom-diffusion": CustomSettings,
    "lora": LoraSettings,
}
"""What the runs that learn from photos were asked for; merged and imported ones have no photos."""
PICTURES = 6
"""Of each prompt, where nobody says how many."""
ELSEWHERE = "a {} on a table"
"""A sentence that no word was learned with."""
TOGETHER = "a {} next to a {}"


def report(run: RunFolder, count: int | None, seed: int) -> Path:
    """Draws with what a run of `marmor personalize` learned, and shows it; returns the page.

    Args:
        run: its folder, whatever its kind.
        count: pictures of each prompt; 6 when left out.
        seed: of the pictures.

    Raises UserError for a run that is not finished, or whose pipeline has gone or changed, before anything is
    written.
    """
    check_whole(run)
    base = base_of(run)
    wishes = wishes_of(run, TRAINED[run.recipe]) if run.recipe in TRAINED else None
    words = read_words(run)
    prompts = prompts_of(list(wishes.concepts) if wishes else list(words))
    asked = GenerateSettings(
        prompt=tuple(prompts),
        count=PICTURES if count is None else count,
        out=run.path / "samples",
        seed=seed,
    )
    clear(run.path)
    (asked.out / RECORD).unlink(missing_ok=True)
    started = time.perf_counter()
    drawn = generate(run.path, asked)
    seconds = time.perf_counter() - started
    images = {"drawn": _opened(asked.out / "overview.png"), **training_curves(run)}
    missing = None
    if wishes is not None:
        try:
            images["photos"] = _photos(run, wishes, read_picture(drawn[0]).shape[1])
        except UserError as error:
            missing = str(error)
    files = _files(run, words)
    figures = _earlier(run) | {
        **taken(run),
        "vectors": {name: len(vectors) for name, vectors in words.items()},
        "kept.bytes": sum(file.size for file in files),
        "pipeline.bytes": _size(base),
        "sample.seconds": seconds,
        "sample.images": len(drawn),
        "sample.seed": seed,
        "sample.per_prompt": asked.count,
        "sample.prompts": prompts,
        "sample.guidance": asked.guidance,
        "sample.calls": asked.steps,
    }
    learned = format_summary(_learned(run, words))
    found = PersonalFindings(run, base, figures, images, learned, files, missing)
    return publish(run, figures, images, learned, page(found))


def prompts_of(names: Sequence[str]) -> list[str]:
    """What is drawn to show concepts: each alone, twice, and each beside the next."""
    alone = [sentence.format(name) for name in names for sentence in (SENTENCES[0], ELSEWHERE)]
    beside = [TOGETHER.format(*pair) for pair in pairwise(names)]
    return [*alone, *beside] or [SENTENCES[0].format(START)]


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def _photos(run: RunFolder, wishes: ConceptWishes, side: int) -> Image.Image:
    """The photos as training saw them, before views; UserError where they have gone or changed."""
    photos = read_photos(wishes.concepts, side)
    check_same_images(run, photos.images)
    rows = []
    for place, name in enumerate(wishes.concepts):
        own = photos.images.images[photos.concepts == place]
        rows.append(grid(own, len(own), scale_of(own), [name]))
    return stack(rows)


def _files(run: RunFolder, words: Mapping[str, Tensor]) -> list[KeptFile]:
    """What was learned, file by file."""
    held = [(embedding_file(run, name), f"the vectors of {name}") for name in words]
    for name, what in (
        (PROJECTIONS, "weights of the U-Net that replace its own"),
        (LOW_RANK, "low-rank weights that are added to its own"),
    ):
        if (file := weights_file(run, name)) is not None:
            held.append((file, what))
    return [
        KeptFile(file.relative_to(run.path).as_posix(), what, file.stat().st_size)
        for file, what in held
    ]


def _learned(run: RunFolder, words: Mapping[str, Tensor]) -> list[Row]:
    """Every tensor that was learned."""
    tensors = {"vectors": dict(words)}
    for name, kind, read in (
        (PROJECTIONS, "replaces", read_projections),
        (LOW_RANK, "is added", read_low_rank),
    ):
        if (file := weights_file(run, name)) is not None:
            tensors[kind] = read(file)
    return [
        Row(name, kind, tuple(values.shape), values.numel())
        for kind, held in tensors.items()
        for name, values in held.items()
    ]


def _earlier(run: RunFolder) -> dict[str, Any]:
    """What a merge told of itself."""
    file = run.path / "summary.json"
    return read_settings(file) if file.is_file() else {}


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
