"""Sets of images to files that ``read`` reads back without loss."""

import csv
import json
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.files import atomic
from marmor.data.imageset import ImageSet
from marmor.data.readers.course import CLASSES_FILE, HEADERS
from marmor.data.splits import check_split


def write(images: ImageSet, out: Path) -> None:
    """One set as ``out``: an .npz file (replaced where it exists) or a new folder.

    The .npz has ``images`` (N, H, W, C) uint8 and, where the set has them, ``labels`` (int64
    positions in ``class_names``), ``class_names`` and ``names``. The folder has the course layout
    with train.csv and classes.json; its files are numbered, so that ``names`` are not kept there.
    Notes are not written. Either appears whole or not at all.

    Raises UserError for an empty set, a folder that is not empty, another kind of file, or where
    the system refuses to write.
    """
    if out.suffix == ".npz":
        _write_npz({"": images}, out)
    else:
        _write_folder({"train": images}, out)


def write_splits(splits: dict[str, ImageSet], out: Path) -> None:
    """Several splits (train, val, test) as ``out``: one .npz with ``train_images``, ``test_images``
    … or one course-layout folder with train.csv, test.csv …; otherwise as ``write``.

    Raises UserError also for a split of another name, and where class names differ among splits.
    """
    for split in splits:
        check_split(split)
    labelled = {part.class_names for part in splits.values() if part.class_names}
    if len(labelled) > 1:
        raise UserError(
            f"the splits {', '.join(splits)} have different class names; give sets of the same "
            "classes in the same order."
        )
    if out.suffix == ".npz":
        _write_npz({f"{split}_": images for split, images in splits.items()}, out)
    else:
        _write_folder(splits, out)


def _write_npz(parts: dict[str, ImageSet], out: Path) -> None:
    _check_filled(parts)
    arrays: dict[str, np.ndarray] = {}
    for prefix, part in parts.items():
        arrays[f"{prefix}images"] = part.images.permute(0, 2, 3, 1).numpy()
        if part.class_names:
            arrays[f"{prefix}labels"] = part.labels["class"].numpy()
            arrays["class_names"] = np.array(part.class_names)
        if part.names:
            arrays[f"{prefix}names"] = np.array(part.names)
    with atomic(out) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)


def _write_folder(parts: dict[str, ImageSet], out: Path) -> None:
    _check_filled(parts)
    with whole_folder(out) as folder, ThreadPoolExecutor(4) as pool:
        (folder / "data").mkdir()
        first = 1
        for split, part in parts.items():
            files = [f"{number:06d}.png" for number in range(first, first + len(part))]
            first += len(part)
            paths = [folder / "data" / file for file in files]
            list(pool.map(_write_png, part.images, paths))
            _write_csv(part, files, folder / f"{split}.csv")
            if part.class_names:
                classes = json.dumps(part.class_names, ensure_ascii=False)
                (folder / CLASSES_FILE).write_text(classes + "\n", encoding="utf-8")


def _write_png(image: Tensor, path: Path) -> None:
    pixels = image.permute(1, 2, 0).numpy()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(path)


def _write_csv(part: ImageSet, files: list[str], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        if part.class_names:
            rows.writerow(HEADERS[0])
            classes = [part.class_names[label] for label in part.labels["class"].tolist()]
            rows.writerows(zip(files, classes, strict=True))
        else:
            rows.writerow(HEADERS[1])
            rows.writerows([name] for name in files)


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A temporary folder beside ``out`` that takes its place once everything is in it."""
    _check_place(out)
    temporary = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        yield temporary
        temporary.chmod(0o755)
        if out.exists():
            out.rmdir()
        temporary.rename(out)
    except OSError as error:
        raise UserError(
            f"cannot write {out}: {error.strerror or error}. Free some space or choose another "
            "folder."
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _check_place(out: Path) -> None:
    if out.suffix in {".zip", ".npy", ".csv", ".mat", ".pt", ".png"}:
        raise UserError(f"cannot write {out}: data are written as .npz or as a folder; name one.")
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UserError(
            f"{out} exists and is not an empty folder; choose another name or remove it."
        )


def _check_filled(parts: dict[str, ImageSet]) -> None:
    if not parts or not all(len(part) for part in parts.values()):
        raise UserError("there are no images to write; give at least one image for each split.")
