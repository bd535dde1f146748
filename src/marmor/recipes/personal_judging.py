"""Pictures of concepts judged: by a CLIP against photos and sentences, by a judge of scenes for objects."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.tensors import read_guarded
from marmor.data import Fit, ImageSet
from marmor.language import logits
from marmor.metrics import Leaks, all_shown, any_shown, leaks, located
from marmor.recipes.concept_lists import Baseline, Entry
from marmor.recipes.generating import maps_file
from marmor.recipes.object_judging import LoadedObjectJudge, swapped
from marmor.recipes.text_image import TextImage

BEST = 5
USUAL = 25
"""Pictures of a prompt, by the course's rule."""
TEXT_WEIGHT = 2.5
AS_THEY_ARE = ("{}",)
"""The template of prompts that are sentences already."""
LEAST = 0.25
"""The smallest side of what is cut out, as a share of the picture's."""


@dataclass(frozen=True)
class PromptScores:
    """What was found in the N pictures of one prompt.

    Args:
        entry: what was asked for.
        number: which of its prompts.
        images: the pictures, with their file names.
        image: image scores, float64 (N,); of several concepts their mean.
        text: text scores, float64 (N,).
        leaks: None for one concept, and without maps of attention.
        present: whether a judge finds every object, bool (N,); None where none can tell.
        swapped: whether it finds a colour of one with the shape of another, bool (N,); None where it cannot
            tell, and for one object.
    """

    entry: Entry
    number: int
    images: ImageSet
    image: Tensor
    text: Tensor
    leaks: Leaks | None
    present: Tensor | None
    swapped: Tensor | None

    @property
    def leak(self) -> Tensor | None:
        """Of each picture, float64 (N,), where it is known."""
        return None if self.leaks is None else self.leaks.leak

    @property
    def told_apart(self) -> Tensor | None:
        """Of each picture, bool (N,), where it is known."""
        return None if self.leaks is None else self.leaks.told_apart

    @property
    def total(self) -> Tensor:
        """image + 2.5 × text, (N,)."""
        return self.image + TEXT_WEIGHT * self.text

    @property
    def best(self) -> list[int]:
        """The best five, the best first."""
        return self.total.argsort(descending=True, stable=True)[:BEST].tolist()

    @property
    def best_means(self) -> tuple[float, float]:
        """The image and the text score of the best five."""
        return self.image[self.best].mean().item(), self.text[self.best].mean().item()

    @property
    def baseline(self) -> Baseline | None:
        return self.entry.baselines[self.number] if self.entry.baselines else None

    @property
    def passed(self) -> bool | None:
        """Whether both scores of the best five reach the baseline; None where there is none."""
        if self.baseline is None:
            return None
        return all(
            score >= least for score, least in zip(self.best_means, self.baseline, strict=True)
        )


class Judging:
    """The judges, and the photos as the CLIP sees them.

    Raises UserError for photos that cannot be read, and for objects that the judge does not know.
    """

    def __init__(
        self,
        model: TextImage,
        judge: LoadedObjectJudge | None,
        entries: Sequence[Entry],
        root: Path,
    ) -> None:
        self.model, self.judge, self.entries = model, judge, entries
        for entry in entries:
            if judge is not None and entry.objects:
                judge.check(entry.objects)
        folders = {entry.id: entry.photos(root) for entry in entries}
        seen = {path: self._photos(path) for paths in folders.values() for path in paths}
        self.photos = {name: [seen[path] for path in paths] for name, paths in folders.items()}
        plain = list(dict.fromkeys(text for entry in entries for text in entry.plain))
        self.texts = dict(zip(plain, model.embed_prompts(AS_THEY_ARE, plain)[0], strict=True))
        self.cut = model.cut(AS_THEY_ARE, plain)

    def photos_of(self, entry: Entry) -> list[Tensor]:
        """The photos of each concept of an entry, (M, D) of length 1."""
        return self.photos[entry.id]

    def folder(self, folder: Path) -> tuple[PromptScores, ...]:
        """The pictures of every prompt in a folder that `marmor generate` wrote."""
        asked = [(entry, j) for entry in self.entries for j in range(len(entry.prompts))]
        return tuple(self._prompt(folder, entry, j) for entry, j in asked)

    def _photos(self, folder: Path) -> Tensor:
        # A path, since a plain name such as faces would be a set that is embedded.
        images = self.model.read(str(folder.resolve()), "train")
        return self.model.embed_images(images, folder.name)

    def _prompt(self, folder: Path, entry: Entry, number: int) -> PromptScores:
        place = folder / entry.folder(number)
        if not place.is_dir():
            raise UserError(
                f"{folder} has no pictures {entry.folder(number)}; draw them with: marmor generate RUN "
                f"--input … --out {folder}."
            )
        images = self.model.read(str(place), "train")
        if len(images) < BEST:
            raise UserError(
                f"{place} holds {len(images)} pictures; the best {BEST} are chosen among more, {USUAL} by "
                "the course's rule."
            )
        seen = self.model.embed_images(images, f"{folder.name}/{entry.folder(number)}")
        photos = self.photos_of(entry)
        like = torch.stack([(seen.double() @ each.double().T).mean(1) for each in photos])
        said = logits(self.model.facts, seen, self.texts[entry.plain[number]][None])[:, 0]
        return PromptScores(
            entry,
            number,
            images,
            100 * like.mean(0),
            said.double(),
            self._leaks(folder, entry, number, images),
            self._present(entry, images),
            self._swapped(entry, images),
        )

    def _leaks(self, folder: Path, entry: Entry, number: int, images: ImageSet) -> Leaks | None:
        if len(entry.words) < 2:
            return None
        files = [maps_file(folder, entry.folder(number), name) for name in images.names]
        maps = [read_guarded(file, "attention") if file.is_file() else {} for file in files]
        if not all(set(entry.words) <= set(each) for each in maps):
            return None
        side = self.model.facts.sight.side
        crops = [
            torch.stack(
                [
                    cut_out(image, each[word], side)
                    for image, each in zip(images.images, maps, strict=True)
                ]
            )
            for word in entry.words
        ]
        seen = [
            self.model.embed_images(ImageSet(each), f"what lies where {word} is drawn")
            for word, each in zip(entry.words, crops, strict=True)
        ]
        return leaks(torch.stack(seen), self.photos_of(entry))

    def _present(self, entry: Entry, images: ImageSet) -> Tensor | None:
        if self.judge is None or not entry.objects:
            return None
        return all_shown(self.judge.read(images, entry.objects))

    def _swapped(self, entry: Entry, images: ImageSet) -> Tensor | None:
        mixed = swapped(entry.objects)
        if self.judge is None or not mixed or not set(mixed) <= set(self.judge.objects or ()):
            return None
        return any_shown(self.judge.read(images, mixed))


def cut_out(image: Tensor, weights: Tensor, side: int) -> Tensor:
    """What lies where an object's map of attention (h, w) says: uint8 (C, H, W) → (C, side, side).

    The square around its box, moved inside the picture, no smaller than a quarter of it.
    """
    height, width = image.shape[1:]
    left, top, right, bottom = located(weights)
    wanted = max((right - left) * width, (bottom - top) * height)
    short = min(height, width)
    edge = round(min(max(wanted, LEAST * short), short))
    x = round(min(max((left + right) / 2 * width - edge / 2, 0), width - edge))
    y = round(min(max((top + bottom) / 2 * height - edge / 2, 0), height - edge))
    return Fit(bicubic=True)(image[None, :, y : y + edge, x : x + edge], side)[0]
