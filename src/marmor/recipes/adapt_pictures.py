"""An adaptation in pictures: features before and after, what is taken for what, how the choice was made."""

import torch
from PIL import Image
from torch import Tensor

from marmor.figures import confusion, curves, scatter
from marmor.metrics import agreement
from marmor.networks.judges import Judge
from marmor.recipes import adapting
from marmor.recipes.adapt import Study, part_of
from marmor.recipes.pairs import Pair
from marmor.recipes.plans import SOURCE_ONLY

POINTS = 500
"""Images of each domain in a picture of features."""


def pictures(study: Study) -> dict[str, Image.Image]:
    """By name, of the seed whose network the run keeps; ``before`` is without adaptation."""
    images: dict[str, Image.Image] = {}
    names, test = study.pair.class_names, study.pair.truth.test
    for role, method in (("before", SOURCE_ONLY), ("after", study.adapted())):
        ready = study.network(method, study.kept().seed)
        points, domains, classes = _plane(study.pair, ready)
        images[f"features-{role}-class"] = scatter(points, classes, names, f"{method}: classes")
        title = f"{method}: domains"
        images[f"features-{role}-domain"] = scatter(points, domains, ("source", "target"), title)
        if test is not None:
            _, logits = adapting.read(ready, test)
            counts = agreement(test.labels["class"], logits.argmax(1), len(names)).confusion
            title = f"{method}: target test images"
            images[f"confusion-{role}"] = confusion(
                counts, names, title, "class read", "class shown"
            )
    images["choice"] = _choice(study)
    return images


def _plane(pair: Pair, ready: Judge) -> tuple[Tensor, Tensor, Tensor]:
    """t-SNE of held-out images of both domains: points (N, 2), domains (N,), classes (N,).

    Classes of target images are the true ones where they are known, else those that are read.
    """
    source = adapting.evenly(pair.source_val, POINTS)
    target = adapting.evenly(pair.labelled_val() or pair.target_val, POINTS)
    own = adapting.with_statistics_of(ready, pair.source)
    of_source, _ = adapting.read(own, source)
    of_target, logits = adapting.read(ready, target)
    known = target.labels.get("class", logits.argmax(1))
    features = torch.cat([of_source, of_target]).numpy()
    from sklearn.manifold import TSNE  # slow to import, and few commands need it

    perplexity = min(30.0, (len(features) - 1) / 3)
    plane = TSNE(perplexity=perplexity, random_state=0).fit_transform(features)
    domains = torch.tensor([0] * len(source) + [1] * len(target))
    return torch.from_numpy(plane), domains, torch.cat([source.labels["class"], known])


def _choice(study: Study) -> Image.Image:
    """The score that chooses, over training, for each seed of the adapted method."""
    series: dict[str, tuple[list[float], list[float]]] = {}
    for result in study.of(study.adapted()):
        part = part_of(study.run, result.network, result.seed)
        lines = adapting.scored(part)
        minutes = [line["seconds"] / 60 for line in lines]
        series[f"{result.network}, seed {result.seed}"] = (
            minutes,
            [line["information"] for line in lines],
        )
    return curves(
        series,
        "minutes of training",
        "nats",
        "Information that answers to two views of the target share",
    )
