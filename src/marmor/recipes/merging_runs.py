"""Concepts that were learned apart in one pipeline (S8): `marmor personalize merge`.

Kumari et al. 2023, section 3.2: each projection of cross-attention is the one nearest to the pipeline's own
on ordinary captions that answers each concept's words as the concept's own did.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from marmor.base.errors import UserError
from marmor.base.files import write_json
from marmor.base.progress import console, progress_bar
from marmor.personalization import (
    Constraints,
    Merged,
    Placeholder,
    add_placeholder,
    caption_features,
    constrain,
    is_projection,
    merge,
    projection_names,
    read_projections,
    whole_words,
    word_features,
    write_projections,
)
from marmor.recipes.concepts import SENTENCES, tokens_of
from marmor.recipes.learned import (
    LOW_RANK,
    PROJECTIONS,
    base_fingerprint,
    base_of,
    read_words,
    told,
    weights_file,
    write_words,
)
from marmor.recipes.personalized import open_personalized
from marmor.recipes.text_to_image import load_pipeline
from marmor.training import RunFolder

RECIPE = "personalize-merge"
MET = 1e-3
"""Residuals above this are told: some concept is not answered as its own run answered it."""
PROMPTS = (SENTENCES[0],)
CAPTIONS = 1000
"""Kumari et al. take about as many."""


@dataclass(frozen=True)
class Part:
    """One run: its words' vectors (V, D), and weights (O, D) that replace the pipeline's, by name."""

    run: RunFolder
    words: dict[str, Tensor]
    weights: dict[str, Tensor]


def merge_runs(
    runs: Sequence[Path],
    out: Path,
    prompts: Sequence[str] = PROMPTS,
    captions: Path | None = None,
) -> RunFolder:
    """Merges runs into the new run ``out``; prints and keeps how well each layer meets what was asked.

    ``prompts`` are sentences with {}, in which the words must be answered as their own runs answer them.
    ``captions``, a text file, one a line, are what the pipeline should answer as before; plain sentences of
    the tokenizer's own words where there is none. Raises UserError for runs of different pipelines, words of
    the same name, runs without words or that trained more than projections, runs that are not finished, and
    sentences that are too long, before anything is written.
    """
    parts = _parts(runs)
    if wrong := [prompt for prompt in prompts if "{}" not in prompt]:
        raise UserError(f"--prompt {wrong[0]!r} should hold {{}}, where the word goes.")
    base = base_of(parts[0].run)
    pipeline = load_pipeline(base)
    names = projection_names(pipeline.unet)
    ordinary = _ordinary(captions, pipeline.tokenizer)
    with progress_bar("merging") as bar:
        regular = caption_features(pipeline.tokenizer, pipeline.text_encoder, ordinary, bar)
    inputs = _inputs(pipeline, parts, prompts)
    constraints = constrain(regular, torch.cat([rows for each in inputs for rows in each]))
    layers = _merged(pipeline.unet, names, parts, inputs, constraints)
    summary = _summary(pipeline.unet, parts, constraints, layers, regular) | {
        "captions": len(ordinary)
    }
    words = {name: vectors for part in parts for name, vectors in part.words.items()}
    config = {
        "asked": {
            "runs": [str(run.resolve()) for run in runs],
            "prompt": list(prompts),
            "captions": str(captions.resolve()) if captions else None,
        },
        **told(base, list(words), [PROJECTIONS]),
    }
    made = RunFolder.create(out, RECIPE, config)
    write_words(made, words)
    weights = {name: layer.weight for name, layer in layers.items()}
    write_projections(out / PROJECTIONS, pipeline.unet, weights)
    write_json(out / "summary.json", summary)
    _tell(summary)
    return made


def _parts(runs: Sequence[Path]) -> list[Part]:
    if len(runs) < 2:
        raise UserError("a merge takes two runs or more; name them: marmor personalize merge A B.")
    opened = [open_personalized(run) for run in runs]
    first = opened[0]
    for other in opened[1:]:
        if base_fingerprint(other) != base_fingerprint(first):
            raise UserError(
                f"{first.path} and {other.path} were learned on different pipelines (their fingerprints "
                "differ); only what was learned on the same one can be merged."
            )
    parts = [_part(run) for run in opened]
    owner: dict[str, Path] = {}
    for part in parts:
        for name in part.words:
            # Tokenizers that read small letters only take both for one.
            if name.lower() in owner:
                raise UserError(
                    f"{owner[name.lower()]} and {part.run.path} both have the word {name}; learn one of "
                    "them again under another name."
                )
            owner[name.lower()] = part.run.path
    return parts


def _part(run: RunFolder) -> Part:
    if weights_file(run, LOW_RANK) is not None:
        raise UserError(
            f"{run.path} learned low-rank weights, which the merge does not know; merge runs of "
            "`marmor personalize custom-diffusion`."
        )
    file = weights_file(run, PROJECTIONS)
    weights = {} if file is None else read_projections(file)
    if more := [name for name in weights if not is_projection(name)]:
        raise UserError(
            f"{run.path} also holds {more[0]}; the merge knows key and value projections of "
            "cross-attention alone."
        )
    words = read_words(run)
    if not words:
        raise UserError(
            f"{run.path} has weights and no new word, and a merge asks how each word is answered; import the "
            "files of its words together with the weights."
        )
    return Part(run, words, weights)


def _ordinary(captions: Path | None, tokenizer: Any) -> list[str]:
    """The captions of a file, or sentences of words spread over the tokenizer's."""
    if captions is not None:
        try:
            lines = captions.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{captions} cannot be read: {error}.") from error
        found = [line.strip() for line in lines if line.strip()]
    else:
        words = whole_words(tokenizer)
        places = [number * max(len(words), 1) // CAPTIONS for number in range(CAPTIONS)]
        asked = [
            SENTENCES[number % len(SENTENCES)].format(words[place])
            for number, place in enumerate(places if words else [])
        ]
        found = list(dict.fromkeys(asked))
    if not found:
        raise UserError(
            "there are no captions on which the pipeline should stay as it is; give a file of them with "
            "--captions."
        )
    return found


def _inputs(pipeline: Any, parts: Sequence[Part], prompts: Sequence[str]) -> list[list[Tensor]]:
    """By run and word, text features (M, D) of the word; all words in one encoder."""
    parts_of = pipeline.tokenizer, pipeline.text_encoder
    placed = [
        [add_placeholder(*parts_of, name, vectors) for name, vectors in part.words.items()]
        for part in parts
    ]

    def features(word: Placeholder) -> Tensor:
        sentences = [prompt.replace("{}", word.name) for prompt in prompts]
        tokens_of(pipeline.tokenizer, sentences, [word])  # refuses those that are too long
        return word_features(*parts_of, sentences, word)

    return [[features(word) for word in each] for each in placed]


def _merged(
    unet: Any,
    names: Sequence[str],
    parts: Sequence[Part],
    inputs: Sequence[Sequence[Tensor]],
    constraints: Constraints,
) -> dict[str, Merged]:
    """Merged projections by name."""
    own: dict[str, Tensor] = dict(unet.named_parameters())
    found = {}
    for name in names:
        values = [
            rows.double() @ part.weights.get(name, own[name]).double().T
            for part, each in zip(parts, inputs, strict=True)
            for rows in each
        ]
        found[name] = merge(own[name].detach(), torch.cat(values), constraints)
    return found


def _share_moved(before: Tensor, after: Tensor, features: Tensor) -> float:
    """How far answers to features (N, D) moved, as a share of the answers; weights (O, D)."""
    said, now = (features.double() @ weight.detach().double().T for weight in (before, after))
    return ((now - said).norm() / said.norm()).item()


def _summary(
    unet: Any,
    parts: Sequence[Part],
    constraints: Constraints,
    layers: dict[str, Merged],
    regular: Tensor,
) -> dict[str, Any]:
    own = dict(unet.named_parameters())
    return {
        "words": {
            name: {"run": str(part.run.path.resolve()), "vectors": len(vectors)}
            for part in parts
            for name, vectors in part.words.items()
        },
        "constraints": len(constraints.inputs),
        "rank": constraints.rank,
        "ridge": constraints.ridge,
        "residual": _largest({name: layer.residual for name, layer in layers.items()}),
        "moved": _largest(
            {name: _share_moved(own[name], layer.weight, regular) for name, layer in layers.items()}
        ),
    }


def _largest(by_layer: dict[str, float]) -> dict[str, Any]:
    where = max(by_layer, key=lambda name: by_layer[name])
    return {"largest": by_layer[where], "where": where, "by_layer": by_layer}


def _tell(summary: dict[str, Any]) -> None:
    residual = summary["residual"]
    console.print(
        f"merged {', '.join(summary['words'])}: {summary['constraints']} constraints of rank "
        f"{summary['rank']}, {summary['captions']} captions, ridge {summary['ridge']:.2g}, largest "
        f"residual {residual['largest']:.2g}; answers to the captions moved by up to "
        f"{100 * summary['moved']['largest']:.2g} %"
    )
    if residual["largest"] > MET:
        console.print(
            "note: the runs contradict each other somewhere; the concepts will not be quite those of their "
            "own runs."
        )
