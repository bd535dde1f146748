"""`marmor report` of what `marmor personalize` learned, on a tiny random pipeline."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from marmor.base.errors import UserError
from marmor.cli import main
from marmor.recipes import custom_diffusion, personal_reporting, textual_inversion
from marmor.recipes.custom_diffusion import CustomSettings
from marmor.recipes.learned import PROJECTIONS
from marmor.recipes.merging_runs import merge_runs
from marmor.recipes.personal_reporting import prompts_of
from marmor.recipes.prompting import GenerateSettings
from marmor.recipes.reporting import report
from marmor.recipes.textual_inversion import InversionSettings

pytest.importorskip("diffusers")


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    def quickly(**asked):
        return GenerateSettings(**asked, steps=1, guidance=1.0)

    monkeypatch.setattr(personal_reporting, "GenerateSettings", quickly)


def figures(run: Path) -> dict:
    return json.loads((run / "summary.json").read_text())


def test_a_run_of_custom_diffusion_as_a_page(
    pipeline_folder: Path, concepts: tuple[str, ...], tmp_path: Path, capsys
) -> None:
    asked = CustomSettings(
        pipeline_folder,
        concepts,
        ("dog", "red"),
        tmp_path / "run",
        steps=1,
        batch=2,
        vectors=2,
        prior_weight=0.0,
    )
    run = custom_diffusion.train(asked).path
    main(["report", str(run), "--per-class", "2", "--seed", "5"])
    assert "open the report" in capsys.readouterr().out
    told = figures(run)
    assert told["vectors"] == {"<new1>": 2, "<new2>": 2}
    assert told["sample.images"] == 2 * len(told["sample.prompts"]) == 10
    assert told["sample.prompts"][-1] == "a <new1> next to a <new2>"
    learned = [run / "embeddings" / n / "learned_embeds.safetensors" for n in ("new1", "new2")]
    learned.append(run / PROJECTIONS)
    assert told["kept.bytes"] == sum(file.stat().st_size for file in learned)
    whole = sum(file.stat().st_size for file in pipeline_folder.rglob("*") if file.is_file())
    assert told["pipeline.bytes"] == whole
    assert {path.stem for path in (run / "figures").glob("*.png")} == {"drawn", "photos", "loss"}
    page = (run / "report.html").read_text()
    assert "--concept &#39;&lt;new1&gt;=" in page
    assert "--concept &#39;&lt;new2&gt;=" in page
    assert "<new1>" not in page  # escaped
    names = [line.split()[0] for line in (run / "figures" / "model.txt").read_text().splitlines()]
    projections = custom_diffusion.projection_names
    from marmor.recipes.text_to_image import load_pipeline

    assert {"<new1>", "<new2>", *projections(load_pipeline(pipeline_folder).unet)} <= set(names)
    with Image.open(run / "figures" / "photos.png") as photos:
        colours = {count[1] for count in photos.getcolors(1 << 16)}
    assert {(200, 30, 30), (30, 30, 200)} <= colours


def test_again_it_draws_what_is_asked_now(
    pipeline_folder: Path, concepts: tuple[str, ...], tmp_path: Path
) -> None:
    asked = InversionSettings(pipeline_folder, concepts[:1], ("dog",), tmp_path / "run", steps=1)
    run = textual_inversion.train(asked).path
    first = report(run, per_class=1, seed=1)
    before = {path.name: path.read_bytes() for path in run.glob("samples/*/0.png")}
    report(run, per_class=1, seed=2)
    assert figures(run)["sample.seed"] == 2
    after = {path.name: path.read_bytes() for path in run.glob("samples/*/0.png")}
    assert before != after
    (tmp_path / "one" / "1.png").unlink()
    page = report(run, per_class=1, seed=1)
    assert {path.name: path.read_bytes() for path in run.glob("samples/*/0.png")} == before
    assert page == first
    assert not (run / "figures" / "photos.png").exists()
    assert "Not shown: the data changed" in page.read_text()


def test_a_merge_keeps_what_it_told_of_itself(two: tuple[Path, Path], tmp_path: Path) -> None:
    run = merge_runs(two, tmp_path / "both").path
    before = figures(run)
    page = report(run, per_class=1).read_text()
    after = figures(run)
    assert before.items() <= after.items()
    assert after["vectors"] == {"<art>": 2, "<cart>": 1}
    assert "largest residual" in page
    assert f"marmor personalize merge {two[0]} {two[1]}" in page
    assert "Nothing was trained" not in page


def test_what_cannot_be_reported_is_one_sentence(
    make: Callable[..., Path], two: tuple[Path, Path]
) -> None:
    for name in ("judge", "beside", "real"):
        with pytest.raises(UserError, match=f"leave --{name} out"):
            report(two[0], **{name: "something"})
    unfinished = make("third", {}, None)
    config = json.loads((unfinished / "config.json").read_text())
    config["settings"]["learned"]["words"] = ["<new1>"]
    (unfinished / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="go on with the run"):
        report(unfinished)
    assert not (unfinished / "samples").exists()


def test_concepts_are_drawn_alone_and_beside_each_other() -> None:
    assert prompts_of(["<a>", "<b>", "<c>"])[-2:] == ["a <a> next to a <b>", "a <b> next to a <c>"]
    assert prompts_of(["red dog"]) == ["a photo of a red dog", "a red dog on a table"]
    assert prompts_of([]) == ["a photo of a object"]
