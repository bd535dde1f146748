"""The one type for every collection of images, labelled or not."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.seeds import torch_stream
from marmor.data.squares import CROPPED, Fit, centre, size_text

CLASS = "class"
"""The column of labels that most commands read."""

READ_WITHOUT = "Read without labels: "
"""How the note begins that says why names tell no classes."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images in memory with their labels; never changed in place, every method returns a new set.

    ``images``: uint8 (N, C, H, W), C is 1 (grey) or 3 (RGB).
    ``labels``: columns by name, each int64 (N,), one of K values an image, or bool (N, K), any of them; none:
    unlabelled. ``class``, one value an image, is the column that most commands read.
    ``vocabulary``: for each column, what its K values stand for.
    ``names``: the file names, one an image, or ().
    ``notes``: what a reader or a maker changed, or what must be known of the images, one sentence each.

    Raises ValueError where these do not fit together. Two sets are the same data when their
    ``fingerprint()`` is the same; ``==`` only asks whether they are the same object.
    """

    images: Tensor
    labels: dict[str, Tensor] = field(default_factory=dict)
    vocabulary: dict[str, tuple[str, ...]] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_images(self.images)
        _check_labels(self.labels, self.vocabulary, len(self.images))
        if self.names and len(self.names) != len(self.images):
            raise ValueError(f"{len(self.names)} names for {len(self.images)} images")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.images.shape[2], self.images.shape[3]

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the values of the column ``class`` stand for; () where there is none."""
        return self.vocabulary.get(CLASS, ())

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB."""
        return self.images.shape[1]

    def take(self, indices: Sequence[int] | Tensor) -> "ImageSet":
        """The images at ``indices``, in that order, as a copy; IndexError outside the set."""
        picked = torch.as_tensor(indices, dtype=torch.int64)
        return replace(
            self,
            images=self.images[picked],
            labels={column: values[picked] for column, values in self.labels.items()},
            names=tuple(self.names[i] for i in picked.tolist()) if self.names else (),
        )

    def unlabelled(self) -> "ImageSet":
        """The images alone. File names go too: ``cat/1.png`` and ``3_12.png`` tell the class.

        So does the note that labels could not be read, of which there is nothing to be known then.
        """
        notes = tuple(note for note in self.notes if not note.startswith(READ_WITHOUT))
        return replace(self, labels={}, vocabulary={}, names=(), notes=notes)

    def resized(self, size: int, fit: Fit = CROPPED) -> "ImageSet":
        """To ``size`` × ``size`` as ``fit`` says; noted. If nothing is said, centre-cropped and bilinear.

        A set that has this size already is returned as it is.
        """
        if self.size == (size, size):
            return self
        note = fit.note({self.size}, size)
        return replace(self, images=fit(self.images, size), notes=(*self.notes, note))

    def not_among(self, others: "ImageSet") -> list[int]:
        """The places of the images that are not, byte for byte, among ``others`` of the same shape."""
        known = {_content(image) for image in others.images}
        return [place for place, image in enumerate(self.images) if _content(image) not in known]

    def without(self, others: "ImageSet") -> "ImageSet":
        """The images that are not, byte for byte, among ``others``; noted.

        Raises UserError where the two differ in size or channels, or nothing would be left.
        """
        if self.images.shape[1:] != others.images.shape[1:]:
            raise UserError(
                f"images of {size_text(self.size)} with {self.channels} channels cannot be compared "
                f"with images of {size_text(others.size)} with {others.channels}; name a set that "
                "holds the same kind of images."
            )
        chosen = self.not_among(others)
        if not chosen:
            raise UserError("nothing is left: the other set holds all of these images.")
        note = f"{len(self) - len(chosen):,} images left out that another set holds."
        return replace(self.take(chosen), notes=(*self.notes, note))

    def cropped(self, size: int) -> "ImageSet":
        """The central ``size`` × ``size`` pixels of every image; noted.

        Raises UserError where the images are smaller.
        """
        if not 0 < size <= min(self.size):
            raise UserError(
                f"{size}×{size} pixels cannot be cut from images of {size_text(self.size)}; "
                "name a side that they have."
            )
        note = f"Centre-cropped from {size_text(self.size)} to {size}×{size}."
        return replace(self, images=centre(self.images, size), notes=(*self.notes, note))

    def colour(self) -> "ImageSet":
        """With 3 channels: grey is copied to red, green and blue."""
        return replace(self, images=self.images.expand(-1, 3, -1, -1).contiguous())

    def split(self, fraction: float, seed: int) -> tuple["ImageSet", "ImageSet"]:
        """(rest, held): ``held`` has ``fraction`` of every class, drawn at random, order kept.

        Per class the share is exact to one image, in total to rounding. Without labels the draw is
        over the whole set. ValueError unless 0 < fraction < 1; UserError where a part stays empty.
        """
        if not 0 < fraction < 1:
            raise ValueError(f"the held-out fraction is {fraction}, expected between 0 and 1")
        held = torch.zeros(len(self), dtype=torch.bool)
        seen, taken = 0, 0
        for index, members in enumerate(self._members_by_class()):
            seen += len(members)
            # Rounding the running total keeps small classes from all rounding the same way.
            wanted = round(fraction * seen) - taken
            order = torch.randperm(len(members), generator=torch_stream(seed, "split", index))
            held[members[order[:wanted]]] = True
            taken += wanted
        if taken in (0, len(self)):
            raise UserError(
                f"holding out {fraction:.3g} of {len(self)} images leaves one part empty; "
                "give more images or another fraction."
            )
        return self.take((~held).nonzero().flatten()), self.take(held.nonzero().flatten())

    def fingerprint(self) -> str:
        """32 hex digits for images, labels and what they stand for together, the same on every machine."""
        others = {name: list(v) for name, v in self.vocabulary.items() if name != CLASS}
        header = {
            "images": list(self.images.shape),
            "labels": sorted(self.labels),
            "class_names": list(self.class_names),
        } | ({"others": others} if others else {})
        digest = hashlib.blake2b(json.dumps(header, sort_keys=True).encode(), digest_size=16)
        digest.update(self.images.contiguous().numpy().data)
        for column in sorted(self.labels):
            digest.update(self.labels[column].contiguous().numpy().astype("<i8").data)
        return digest.hexdigest()

    def _members_by_class(self) -> list[Tensor]:
        if CLASS not in self.labels:
            return [torch.arange(len(self))]
        values = self.labels[CLASS]
        return [(values == k).nonzero().flatten() for k in range(len(self.class_names))]


def _content(image: Tensor) -> bytes:
    return image.contiguous().numpy().tobytes()


def _check_images(images: Tensor) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(
            f"images are {images.dtype} {tuple(images.shape)}, "
            "expected torch.uint8 (N, C, H, W) with C 1 or 3"
        )
    if 0 in images.shape[2:]:
        raise ValueError(f"images of shape {tuple(images.shape)} have no pixels")


def _check_labels(
    labels: dict[str, Tensor], vocabulary: dict[str, tuple[str, ...]], count: int
) -> None:
    if set(labels) != set(vocabulary):
        raise ValueError(
            f"label columns are {sorted(labels)}, but there are names for {sorted(vocabulary)}"
        )
    for column, values in labels.items():
        names = vocabulary[column]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"names of {column} are missing or repeat: {names}")
        is_set = values.dtype == torch.bool and values.shape == (count, len(names))
        if is_set and column != CLASS:
            continue
        if values.dtype != torch.int64 or values.shape != (count,):
            raise ValueError(
                f"labels of {column} are {values.dtype} {tuple(values.shape)}, expected "
                f"torch.int64 ({count},) or torch.bool ({count}, {len(names)})"
            )
        if count and not 0 <= int(values.min()) <= int(values.max()) < len(names):
            raise ValueError(
                f"labels of {column} run from {values.min()} to {values.max()}, "
                f"expected 0 to {len(names) - 1}"
            )
