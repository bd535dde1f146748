"""The course's input.json: which concepts are drawn by which prompts, and what the pictures are held against.

``{id: {src_image, token_name, prompt: […], prompt_4_clip_eval: […], baseline: [[image, text], …]}}``. An
entry is a concept, or several that are drawn together: then ``src_image`` and ``token_name`` are lists of one
length. ``objects`` is marmor's own: what a judge of scenes should find.
Prompt j of an entry lies in ``<id>/<j>``, its picture k is ``source<id>_prompt<j>_<k>.png``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marmor.base.errors import UserError
from marmor.base.files import inside, read_settings

Baseline = tuple[float, float]
"""The image score and the text score to reach."""


@dataclass(frozen=True)
class Entry:
    """One concept, or several together.

    Args:
        id: the folder of its pictures.
        sources: where the photos of each concept lie, as written.
        words: the new word of each concept.
        prompts: what is drawn.
        plain: the same prompts in words that a CLIP knows; () where nothing is judged.
        baselines: of each prompt; () where there are none.
        objects: what a judge of scenes should find, by its names; () where none can.
    """

    id: str
    sources: tuple[str, ...]
    words: tuple[str, ...]
    prompts: tuple[str, ...]
    plain: tuple[str, ...]
    baselines: tuple[Baseline, ...]
    objects: tuple[str, ...]

    def folder(self, number: int) -> str:
        """Where the pictures of prompt ``number`` lie."""
        return f"{self.id}/{number}"

    def file(self, number: int, picture: int) -> str:
        """The name of picture ``picture`` of prompt ``number``, in its folder."""
        return f"source{self.id}_prompt{number}_{picture}.png"

    def photos(self, root: Path) -> list[Path]:
        """The folder of photos of each concept below ``root``: that of its name, or the course's, of its id.

        Raises UserError where there is neither, and for names that leave ``root``.
        """
        return [self._photos(root, source) for source in self.sources]

    def _photos(self, root: Path, source: str) -> Path:
        names = [source, self.id] if len(self.sources) == 1 else [source]
        for name in names:
            if (folder := inside(root, name)).exists():
                return folder
        raise UserError(
            f"{root} has no photos {' or '.join(names)} of entry {self.id!r}; say with --photos where they "
            "lie."
        )


def read_entries(path: Path) -> tuple[Entry, ...]:
    """Every entry of an input.json; UserError, with the entry's id, for what cannot be meant."""
    held = read_settings(path)
    if not held:
        raise UserError(f"{path} has no entries; expected {{id: {{token_name, prompt, …}}}}.")
    return tuple(_entry(path, name, entry) for name, entry in held.items())


def _entry(path: Path, name: str, held: Any) -> Entry:
    where = f"{path}, entry {name!r}"
    if Path(name).name != name or name in ("", ".", "..") or "\\" in name:
        raise UserError(f"{where}: its id names a folder, so it must be a plain name.")
    if not isinstance(held, dict):
        raise UserError(f"{where} should hold token_name, src_image and prompt by name.")
    entry = Entry(
        name,
        _texts(where, held, "src_image"),
        _texts(where, held, "token_name"),
        _texts(where, held, "prompt"),
        _texts(where, held, "prompt_4_clip_eval", needed=False),
        _baselines(where, held.get("baseline", [])),
        _texts(where, held, "objects", needed=False),
    )
    for what, texts, of in (
        ("src_image", entry.sources, entry.words),
        ("prompt_4_clip_eval", entry.plain, entry.prompts),
        ("baseline", entry.baselines, entry.prompts),
    ):
        if texts and len(texts) != len(of):
            raise UserError(f"{where} has {len(texts)} {what} for {len(of)}; give one for each.")
    return entry


def _texts(where: str, held: dict[str, Any], name: str, needed: bool = True) -> tuple[str, ...]:
    """One text, or a list of them."""
    value = held.get(name, [])
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(t, str) and t.strip() for t in texts):
        raise UserError(f"{where}: {name} should be a text, or a list of texts.")
    if needed and not texts:
        raise UserError(f"{where} has no {name}.")
    return tuple(texts)


def _baselines(where: str, value: Any) -> tuple[Baseline, ...]:
    try:
        return tuple((float(image), float(text)) for image, text in value)
    except (TypeError, ValueError):
        raise UserError(
            f"{where}: baseline should be a pair [image, text] of numbers for each prompt."
        ) from None
