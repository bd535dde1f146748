"""Sentences around the name of a class: the published lists, and lists of one's own."""

import re
from pathlib import Path

from marmor.base.errors import UserError, unknown_name

PLACE = re.compile(r"\{[a-z]*\}")
"""Where the name of the class goes."""

# The 80 templates of CLIP's zero-shot ImageNet (Radford et al. 2021; published in github.com/openai/CLIP,
# notebooks/Prompt_Engineering_for_ImageNet.ipynb), in their order.
OPENAI = (
    "a bad photo of a {}.",
    "a photo of many {}.",
    "a sculpture of a {}.",
    "a photo of the hard to see {}.",
    "a low resolution photo of the {}.",
    "a rendering of a {}.",
    "graffiti of a {}.",
    "a bad photo of the {}.",
    "a cropped photo of the {}.",
    "a tattoo of a {}.",
    "the embroidered {}.",
    "a photo of a hard to see {}.",
    "a bright photo of a {}.",
    "a photo of a clean {}.",
    "a photo of a dirty {}.",
    "a dark photo of the {}.",
    "a drawing of a {}.",
    "a photo of my {}.",
    "the plastic {}.",
    "a photo of the cool {}.",
    "a close-up photo of a {}.",
    "a black and white photo of the {}.",
    "a painting of the {}.",
    "a painting of a {}.",
    "a pixelated photo of the {}.",
    "a sculpture of the {}.",
    "a bright photo of the {}.",
    "a cropped photo of a {}.",
    "a plastic {}.",
    "a photo of the dirty {}.",
    "a jpeg corrupted photo of a {}.",
    "a blurry photo of the {}.",
    "a photo of the {}.",
    "a good photo of the {}.",
    "a rendering of the {}.",
    "a {} in a video game.",
    "a photo of one {}.",
    "a doodle of a {}.",
    "a close-up photo of the {}.",
    "a photo of a {}.",
    "the origami {}.",
    "the {} in a video game.",
    "a sketch of a {}.",
    "a doodle of the {}.",
    "a origami {}.",
    "a low resolution photo of a {}.",
    "the toy {}.",
    "a rendition of the {}.",
    "a photo of the clean {}.",
    "a photo of a large {}.",
    "a rendition of a {}.",
    "a photo of a nice {}.",
    "a photo of a weird {}.",
    "a blurry photo of a {}.",
    "a cartoon {}.",
    "art of a {}.",
    "a sketch of the {}.",
    "a embroidered {}.",
    "a pixelated photo of a {}.",
    "itap of the {}.",
    "a jpeg corrupted photo of the {}.",
    "a good photo of a {}.",
    "a plushie {}.",
    "a photo of the nice {}.",
    "a photo of the small {}.",
    "a photo of the weird {}.",
    "the cartoon {}.",
    "art of the {}.",
    "a drawing of the {}.",
    "a photo of the large {}.",
    "a black and white photo of a {}.",
    "the plushie {}.",
    "a dark photo of a {}.",
    "itap of a {}.",
    "graffiti of the {}.",
    "a toy {}.",
    "itap of my {}.",
    "a photo of a cool {}.",
    "a photo of a small {}.",
    "a tattoo of the {}.",
)

# The seven of them that forward selection found to do best together (same notebook).
SIMPLE = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)

LISTS = {"plain": ("a photo of a {}.",), "simple": SIMPLE, "openai": OPENAI}
"""Templates by the name of their list."""


def read_templates(name: str) -> tuple[str, ...]:
    """The list called ``name``, or the lines of a text file, each with one place for the class: ``{}``.

    A word in the braces, as in ``{object}``, is allowed. Raises UserError for unknown names, files that
    cannot be read, and lines without a place or with several.
    """
    if name in LISTS:
        return LISTS[name]
    path = Path(name)
    if not path.exists():
        raise unknown_name("list of templates", name, [*LISTS, "FILE"])
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the templates {path} cannot be read as text: {error}.") from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise UserError(f"the templates {path} are empty; write a sentence with {{}} on each line.")
    for number, line in enumerate(lines, 1):
        if len(PLACE.findall(line)) != 1:
            raise UserError(
                f"line {number} of the templates {path} is {line!r}; it needs {{}} once, for the class."
            )
    return tuple(dict.fromkeys(PLACE.sub("{}", line) for line in lines))


def fill(template: str, name: str) -> str:
    """The sentence for a class."""
    return template.replace("{}", name)
