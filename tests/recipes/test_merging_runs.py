"""`marmor personalize merge` on a tiny random pipeline."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from marmor.base.errors import UserError
from marmor.cli import main
from marmor.personalization import (
    ChosenWeights,
    add_low_rank,
    projection_names,
    read_projections,
    write_low_rank,
)
from marmor.recipes.learned import LOW_RANK, PROJECTIONS, read_words
from marmor.recipes.merging_runs import merge_runs
from marmor.recipes.personalized import load_personalized
from marmor.training import RunFolder

peers = pytest.importorskip("diffusers")

Make = Callable[..., Path]
PROMPT = "a photo of a <art> next to a <cart>"


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def of_word(pipeline: Any, text: str, pieces: list[str]) -> Tensor:
    """The states (V, D) of a sentence at the vectors of a word; all of them where none is named."""
    ids = pipeline.tokenizer(text)["input_ids"]
    own = pipeline.tokenizer.convert_tokens_to_ids(pieces)
    with torch.no_grad():
        states = pipeline.text_encoder(torch.tensor([ids]))[0][0]
    return states[[ids.index(token) for token in own]] if pieces else states


def test_merged_projections_answer_each_word_as_its_own_run_does(
    two: tuple[Path, Path], tmp_path: Path, pipeline
) -> None:
    main(["personalize", "merge", *map(str, two), "--out", str(tmp_path / "both")])
    main(["personalize", "merge", *map(str, two), "--run", str(tmp_path / "again")])
    both = load_personalized(tmp_path / "both")
    found = dict(both.unet.named_parameters())
    spelled = (
        ("a photo of a <art> <art>_1", ["<art>", "<art>_1"]),
        ("a photo of a <cart>", ["<cart>"]),
    )
    own = dict(pipeline.unet.named_parameters())
    for run, other, (text, pieces) in zip(two, reversed(two), spelled, strict=True):
        features = of_word(both, text, pieces)
        theirs, others = (read_projections(each / PROJECTIONS) for each in (run, other))
        for name, weight in theirs.items():
            assert torch.allclose(features @ found[name].T, features @ weight.T, atol=1e-4)
            assert not torch.allclose(features @ found[name].T, features @ others[name].T, atol=0.1)
            assert not torch.equal(found[name], own[name])
    words = read_words(RunFolder.open(tmp_path / "both"))
    for run in two:
        for name, vectors in read_words(RunFolder.open(run)).items():
            assert torch.equal(words[name], vectors)
    summary = json.loads((tmp_path / "both" / "summary.json").read_text())
    assert summary["constraints"] == summary["rank"] == 5
    assert 0 < summary["residual"]["largest"] < 1e-5
    assert summary["residual"]["by_layer"].keys() == set(projection_names(pipeline.unet))
    assert summary["words"]["<art>"]["vectors"] == 2
    main(["resume", str(tmp_path / "both")])


def test_the_order_of_runs_changes_nothing_but_rounding(two, tmp_path: Path) -> None:
    weights = [
        read_projections(merge_runs(runs, tmp_path / name).path / PROJECTIONS)
        for name, runs in (("ab", two), ("ba", two[::-1]))
    ]
    assert all(torch.allclose(weights[0][n], weights[1][n], atol=1e-5) for n in weights[0])


def test_ordinary_captions_are_answered_more_as_before_than_a_single_run_does(
    two, tmp_path: Path, pipeline
) -> None:
    captions = tmp_path / "captions.txt"
    captions.write_text("a red dog\n\nthe dog of a photo\n")
    made = merge_runs(two, tmp_path / "both", captions=captions)
    merged, alone = (
        read_projections(made.path / PROJECTIONS),
        read_projections(two[0] / PROJECTIONS),
    )
    features = of_word(pipeline, "a red dog", ["red</w>", "dog</w>"])
    own = dict(pipeline.unet.named_parameters())
    for name, weight in merged.items():
        lost, before = ((w - own[name]) @ features.T for w in (weight, alone[name]))
        assert lost.norm() < 0.01 * before.norm()
    summary = json.loads((made.path / "summary.json").read_text())
    assert summary["ridge"] > 0
    said = [of_word(pipeline, text, []) for text in ("a red dog", "the dog of a photo")]
    states = torch.cat(said).double()
    for name, weight in merged.items():
        before, after = (states @ w.detach().double().T for w in (own[name], weight))
        share = (after - before).norm() / before.norm()
        assert summary["moved"]["by_layer"][name] == pytest.approx(share.item(), rel=0.02)


def test_words_alone_leave_the_projections_as_they_are(make: Make, tmp_path, pipeline) -> None:
    runs = [make(name, {f"<{name}>": normal(1, 32, seed=n)}, None) for n, name in enumerate("ab")]
    merged = merge_runs(runs, tmp_path / "both")
    own = dict(pipeline.unet.named_parameters())
    weights = read_projections(merged.path / PROJECTIONS)
    assert all(torch.equal(weights[name], own[name]) for name in weights)


def test_runs_that_contradict_each_other_are_told(make: Make, tmp_path: Path, capsys) -> None:
    same = normal(1, 32, seed=1)
    runs = [make(name, {f"<{name}>": same}, seed) for name, seed in (("a", 10), ("b", 50))]
    made = merge_runs(runs, tmp_path / "both")
    assert "contradict each other" in capsys.readouterr().out
    summary = json.loads((made.path / "summary.json").read_text())
    assert summary["rank"] < summary["constraints"]
    assert summary["residual"]["largest"] > 0.01


def test_runs_that_cannot_be_merged_are_one_sentence(
    two, make: Make, pipeline, pipeline_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "other"
    shutil.copytree(pipeline_folder, folder)
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace("0.012", "0.013"))
    other = make("elsewhere", {"<new>": normal(1, 32, seed=3)}, 5, folder)
    namesake = make("namesake", {"<Art>": normal(1, 32, seed=3)}, 5)
    started = make("started", {"<new>": normal(1, 32, seed=3)}, 5)
    (started / PROJECTIONS).unlink()
    wordless = make("wordless", {}, 5)
    plain = make("low-rank", {}, 5)
    config = json.loads((plain / "config.json").read_text())
    config["settings"]["learned"]["files"] = [LOW_RANK]
    (plain / "config.json").write_text(json.dumps(config))
    weights = ChosenWeights(pipeline.unet, add_low_rank(pipeline.unet, 2, "all", 0))
    write_low_rank(plain / LOW_RANK, weights.named())
    first = two[0]
    wrong = [
        ((first, wordless), "has weights and no new word"),
        ((first,), "two runs or more"),
        ((first, other), "learned on different pipelines"),
        ((first, namesake), "both have the word <Art>"),
        ((first, first), "both have the word <art>"),
        ((first, started), "has no pytorch_custom_diffusion_weights"),
        ((first, plain), "learned low-rank weights"),
        ((first, tmp_path), "not a run folder"),
    ]
    for runs, message in wrong:
        with pytest.raises(UserError, match=message):
            merge_runs(runs, tmp_path / "out")
    with pytest.raises(UserError, match=r"should hold \{\}"):
        merge_runs(two, tmp_path / "out", ["a photo"])
    with pytest.raises(UserError, match="tokens long"):
        merge_runs(two, tmp_path / "out", ["a photo of {}" + " next to a dog" * 10])
    for captions in ("nowhere.txt", "empty.txt"):
        (tmp_path / "empty.txt").write_text("\n")
        with pytest.raises(UserError, match=r"captions|cannot be read"):
            merge_runs(two, tmp_path / "out", captions=tmp_path / captions)
    assert not (tmp_path / "out").exists()
