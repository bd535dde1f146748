"""Why an adapted classifier may not be trusted: what can be seen without labels, and what labels say."""

from itertools import combinations

from marmor.metrics import mean
from marmor.recipes import adapting
from marmor.recipes.adapt import Study
from marmor.recipes.plans import SOURCE_ONLY, TARGET_ONLY

LEAST_ALIKE = 0.8
"""Of held-out target images, that networks of two seeds should answer alike."""


def doubts_of(study: Study, alike: float | None) -> list[str]:
    """Sentences; none where nothing speaks against any method that was asked for.

    ``alike``: as ``seeds_agree`` says.
    """
    told = [
        f"{it.method}, seed {it.seed}: {doubt}" for it in study.asked_for() for doubt in it.doubts
    ]
    if alike is not None and alike < LEAST_ALIKE:
        told.append(
            f"networks of two seeds of {study.adapted()} answer only {100 * alike:.0f} of 100 held-out "
            "target images alike, so at least some of them are often wrong."
        )
    return told + _worse_than_without(study)


def seeds_agree(study: Study) -> float | None:
    """How often networks of two seeds answer held-out target images alike; None of one seed.

    It needs no labels, and where networks err apart it is about what their errors are (Jiang et al. 2022).
    """
    hidden = adapting.evenly(study.pair.target_val)
    answers = [
        adapting.read(study.network(it.method, it.seed), hidden)[1].argmax(1)
        for it in study.of(study.adapted())
    ]
    pairs = [(a == b).float().mean().item() for a, b in combinations(answers, 2)]
    return sum(pairs) / len(pairs) if pairs else None


def _worse_than_without(study: Study) -> list[str]:
    """Methods that read the target worse than no adaptation does, where labels can tell."""
    means = {
        method: mean(found).value
        for method in dict.fromkeys(it.method for it in study.asked_for())
        if (found := [it.accuracy for it in study.of(method) if it.accuracy is not None])
    }
    without = means.get(SOURCE_ONLY, 0.0)
    return [
        f"{method} reads {100 * value:.1f} % of the target's images, no adaptation "
        f"{100 * without:.1f} %: it does harm here."
        for method, value in means.items()
        if value < without and method != TARGET_ONLY
    ]
