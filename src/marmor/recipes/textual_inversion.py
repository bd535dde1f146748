"""New words for a pipeline from a few photos each (S8): `marmor personalize textual-inversion`.

Gal et al. 2022: nothing is trained but the vectors of the words.
"""

from dataclasses import dataclass
from pathlib import Path

from marmor.personalization import Concepts
from marmor.recipes.concepts import (
    ConceptMethod,
    ConceptWishes,
    begin,
    learn,
    prepare,
    wishes_of,
    word_rate,
)
from marmor.recipes.learned import write_words
from marmor.recipes.training_images import check_same_images
from marmor.training import RunFolder, adam

RECIPE = "textual-inversion"


@dataclass(frozen=True)
class InversionSettings(ConceptWishes):
    """What `marmor personalize textual-inversion` can be told.

    Args:
        run: the run folder to write.
    """

    run: Path = Path("runs/textual-inversion")


def train(settings: InversionSettings) -> RunFolder:
    """Trains the words into a new run folder; Ctrl-C saves, `marmor resume` goes on.

    Raises UserError for wishes that cannot be, and for pipelines and photos that cannot be read, before
    anything is written.
    """
    method = method_of(settings)
    run = begin(RECIPE, settings, method.lesson)
    _learn(run, settings, method)
    return run


def resume(run: RunFolder) -> None:
    """Goes on with an interrupted run to the end of its budget."""
    settings = wishes_of(run, InversionSettings)
    method = method_of(settings)
    check_same_images(run, method.lesson.photos.images)
    _learn(run, settings, method)


def method_of(settings: InversionSettings) -> ConceptMethod:
    """The loop's method; its module is the new rows and nothing else."""
    lesson = prepare(settings)
    rows = lesson.rows()
    assert rows is not None
    module = Concepts(rows)
    return ConceptMethod(lesson, module, adam(module, word_rate(rows)), settings)


def _learn(run: RunFolder, settings: InversionSettings, method: ConceptMethod) -> None:
    def keep(learned: Concepts) -> None:
        write_words(run, method.lesson.vectors(learned.rows))

    learn(run, settings, method, keep)
