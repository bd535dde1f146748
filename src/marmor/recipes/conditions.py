"""What a model can be asked for: from the labels of images, and as config.json keeps it."""

from collections.abc import Mapping
from typing import Any

import torch

from marmor.base.conditions import ClassLabel, Condition, ObjectSet
from marmor.data import ImageSet

Vocabulary = Mapping[str, tuple[str, ...]]
ONE, ANY, MOST = "one of", "any of", "at most"
"""How a condition takes its values, in config.json."""


def kinds_of(data: ImageSet) -> dict[str, Condition]:
    """The conditions that the labels of images can train, by column."""
    return {
        name: ObjectSet(len(names), int(values.sum(1).max()))
        if (values := data.labels[name]).dtype == torch.bool
        else ClassLabel(len(names))
        for name, names in data.vocabulary.items()
    }


def told(data: ImageSet) -> dict[str, dict[str, Any]]:
    """The conditions that images can train, for config.json: {name: {"one of": values}}."""
    return {
        name: {ANY: list(data.vocabulary[name]), MOST: kind.most}
        if isinstance(kind, ObjectSet)
        else {ONE: list(data.vocabulary[name])}
        for name, kind in kinds_of(data).items()
    }


def understood(conditions: Mapping[str, Any]) -> tuple[dict[str, Condition], Vocabulary]:
    """Kinds and names of values, of what ``told`` has told."""
    kinds: dict[str, Condition] = {}
    vocabulary: dict[str, tuple[str, ...]] = {}
    for name, how in conditions.items():
        values = how[ANY if ANY in how else ONE]
        kinds[name] = ObjectSet(len(values), how[MOST]) if ANY in how else ClassLabel(len(values))
        vocabulary[name] = tuple(values)
    return kinds, vocabulary
