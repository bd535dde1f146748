"""Classes as directions: every template's sentence embedded, the ensemble averaged."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from marmor.base.cores import on_cores
from marmor.language.clip import Clip
from marmor.language.templates import fill

BATCH = 64


def spoken(name: str) -> str:
    """A class's name as a sentence says it: ``willow_tree`` is a willow tree."""
    return " ".join(name.replace("_", " ").split())


def sentences_for(templates: Sequence[str], names: Sequence[str]) -> list[str]:
    """T · K sentences, template by template."""
    return [fill(template, spoken(name)) for template in templates for name in names]


def embed_prompts(
    model: Clip,
    templates: Sequence[str],
    names: Sequence[str],
    watch: Callable[[float], object] = lambda share: None,
) -> Tensor:
    """float32 (T, K, D) of length 1, a sentence for each template and class."""
    sentences = sentences_for(templates, names)
    # Sentences of like length together need the least padding.
    order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
    batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]

    @torch.inference_mode()
    def embed(batch: list[int]) -> Tensor:
        return model.texts([sentences[i] for i in batch])

    found = torch.cat(on_cores(embed, batches, watch))
    # A copy outside inference mode is one that others may use.
    every = found[torch.tensor(order).argsort()].clone()
    return every.reshape(len(templates), len(names), -1)


def ensemble(embedded: Tensor) -> Tensor:
    """(T, K, D) of length 1 → (K, D) of length 1: the direction of the mean.

    Each sentence has length 1 before the mean (Radford et al. 2021, section 3.1.4): otherwise those that a
    model happens to embed longer would count for more.
    """
    return F.normalize(embedded.mean(0), dim=1)
