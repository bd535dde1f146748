"""Commands that measure and show."""

from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from marmor.base.errors import UserError, refuse
from marmor.base.files import check_folder
from marmor.base.progress import console
from marmor.cli.arguments import Data, How, Steered
from marmor.recipes import (
    comparing,
    evaluating,
    evaluation_page,
    predicting,
    probe_page,
    probing,
    reporting,
    running,
    scene_scoring,
    zero_shot_page,
)
from marmor.recipes import zero_shot as zero_shot_recipe
from marmor.recipes.folders import PRETRAINED
from marmor.recipes.models import DEFAULT_JUDGE
from marmor.recipes.steering import UNSTEERED
from marmor.recipes.wishes import UNCHANGED

Evaluated = Annotated[OmitArgPrefixes[evaluating.EvaluationSettings], arg(name="")]


def score(
    images: Positional[Data],
    judge: str | None = None,
    spec: Path | None = None,
    seeds: int | None = None,
    split: str | None = None,
    crop: int | None = None,
    real: str | None = None,
    out: Path | None = None,
    how: How = UNCHANGED,
    steering: Steered = UNSTEERED,
) -> None:
    """Tell how often a judge reads in images what their names, or a list, say.

    Example: marmor score drawn --judge pretrained:digit-judge --out scores

    Args:
        images: a folder of <class>_<nnn>.png, or any labelled data; with --spec a folder of <k>.png, or a
            model of scenes, which is drawn from.
        judge: a judge's run, pretrained:NAME, or the course's checkpoint file; the shipped one when left out.
        spec: the JSON list of sets of objects that pictures of scenes should show.
        seeds: how often a model of scenes is drawn from; 20 when left out.
        split: which split of the images, where they have splits; test when left out.
        crop: side of the central square to read, of real images too; 28 for the published MNIST-M.
        real: labelled real images; adds the Fréchet distance on judge features and its floor.
        out: folder for summary.json and the confusion matrix.
        how: of a model of scenes; its own where left out.
        steering: of a model of scenes; none where left out.
    """
    if spec is not None:
        refuse("--spec is for pictures of scenes, read whole", split=split, crop=crop, real=real)
        scene_scoring.score_scenes(images, spec, judge, out, seeds, how, steering)
    elif (seeds, how, steering) != (None, UNCHANGED, UNSTEERED):
        raise UserError(
            "--seeds, --steer and what says how to draw are for a model of scenes and what a list asks for; "
            "name it with --spec."
        )
    else:
        running.score(images, judge or PRETRAINED + DEFAULT_JUDGE, split or "test", crop, real, out)


def evaluate(generated: Positional[Data], settings: Evaluated, out: Path | None = None) -> None:
    """Tell whether generated images are like real ones: distances, precision and recall, copies, faces.

    Example: marmor evaluate drawn --real faces64_val.zip --faces --out evaluation

    Args:
        generated: a folder, zip or npz of generated images, or any data.
        out: folder for summary.json, the table, the nearest training images and report.html.
    """
    if out is not None:
        check_folder(out)
    evaluation_page.tell(evaluating.evaluate(generated, settings), out)


def compare(
    generated: Positional[tuple[str, ...]], settings: Evaluated, out: Path = Path("comparison")
) -> None:
    """Hold several sets of generated images against the same real ones: one table, one picture.

    Example: marmor compare gan diffusion --real faces64_val.zip --out comparison

    Args:
        generated: folders, zips or npz of generated images; differences are to the first.
        out: folder for the table, comparison.png and summary.json.
    """
    comparing.compare(generated, settings, out)


def predict(
    run: Positional[str],
    images: Positional[Data],
    out: Path,
    like: Path | None = None,
    probabilities: bool = False,
    split: str = "test",
) -> None:
    """Write what a trained classifier reads in images as image_name,label.

    Example: marmor predict runs/adapt photos --out pred.csv

    Args:
        run: a run of `marmor adapt` or `marmor train judge`, or pretrained:digit-judge.
        images: a folder of images, or any data.
        out: the CSV to write.
        like: a CSV whose order of image names is kept; the folder's own when left out.
        probabilities: add a column for each class.
        split: which images, where they have splits.
    """
    predicting.predict(run, images, out, like, probabilities, split)


def zero_shot(
    settings: Annotated[OmitArgPrefixes[zero_shot_recipe.ZeroShotSettings], arg(name="")],
) -> None:
    """Tell pictures apart by words alone, with a CLIP or SigLIP of yours.

    Example: marmor zero-shot --model clip-vit-b32 --images photos --labels id2label.json --out zero-shot
    """
    zero_shot_page.tell(zero_shot_recipe.zero_shot(settings))


def probe(settings: Annotated[OmitArgPrefixes[probing.ProbeSettings], arg(name="")]) -> None:
    """Tell what labels add to a CLIP's embeddings: linear probes on all of them and on a few a class.

    Example: marmor probe --model clip-vit-b32 --images photos.npz --labels id2label.json --out probe
    """
    probe_page.tell(probing.probe(settings))


def report(
    run: Positional[Path],
    judge: str | None = None,
    per_class: int | None = None,
    seed: int = 1,
    beside: str | None = None,
    real: str | None = None,
) -> None:
    """Draw, measure and show a trained run: report.html and summary.json.

    Example: marmor report runs/first

    Args:
        run: a run folder of `marmor train digits`, `digits-two-domains`, `faces`, `gan-faces` or `iclevr`,
            or of `marmor personalize`.
        judge: a judge's run, pretrained:NAME, or file; of several domains DOMAIN=JUDGE for each, with commas;
            the shipped ones for digits.
        per_class: images drawn and judged of each class, or in all where there are none, 100 when left out;
            of a personalized run images of each prompt, 6 when left out.
        seed: of the images.
        beside: another model whose images are shown beside this one's.
        real: held-out real faces to compare with, for a run of faces.
    """
    page = reporting.report(run, judge, per_class, seed, beside, real)
    console.print(f"open the report: {page}")
