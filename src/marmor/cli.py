"""The command `marmor`: finds the function behind the words and calls it. No logic."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg

from marmor import __version__
from marmor.base.errors import UserError, unknown_name
from marmor.base.progress import console
from marmor.recipes import adapt as adapt_recipe
from marmor.recipes import (
    adapt_page,
    bringing_in,
    comparing,
    custom_diffusion,
    digits,
    domains,
    evaluating,
    evaluation_page,
    exploring,
    exporting,
    faces,
    gan_faces,
    generating,
    hub,
    iclevr,
    inverting,
    judge,
    lora,
    making,
    merging_runs,
    personal_scoring,
    personal_scoring_page,
    personalized,
    pictures,
    predicting,
    probe_page,
    probing,
    prompting,
    reporting,
    running,
    scene_judge,
    scene_scoring,
    study,
    textual_inversion,
    tiny_clip,
    tiny_text_to_image,
    zero_shot_page,
)
from marmor.recipes import ddim as ddim_recipe
from marmor.recipes import demo as demo_recipe
from marmor.recipes import zero_shot as zero_shot_recipe
from marmor.recipes.asking import ask_objects, asked, names_of
from marmor.recipes.denoising import STILL_STEPS
from marmor.recipes.drawing import draw_with_bar, write_images
from marmor.recipes.folders import PRETRAINED
from marmor.recipes.models import DEFAULT_JUDGE, load_diffusion, load_generator
from marmor.recipes.steering import UNSTEERED, SteeringWishes, steered
from marmor.recipes.wishes import Wishes
from marmor.training import Precision

Command = Callable[..., Any]
Spec = Annotated[str, arg(metavar="RUN|pretrained:NAME|FILE")]
How = Annotated[Wishes, arg(name="")]
Steered = Annotated[SteeringWishes, arg(name="")]
Data = Annotated[str, arg(metavar="NAME|PATH")]
Evaluated = Annotated[OmitArgPrefixes[evaluating.EvaluationSettings], arg(name="")]

UNCHANGED = Wishes()
PER_CLASS = 100


def demo(minutes: float = 4.0, run: Path = Path("runs/demo")) -> None:
    """Train on embedded digits for a few minutes, draw, judge, and open-able report.

    Example: marmor demo --minutes 4

    Args:
        minutes: of training.
        run: the run folder to write.
    """
    page = demo_recipe.demo(minutes, run)
    console.print(f"open the report: {page}")


def train_digits(settings: Annotated[digits.DigitsSettings, arg(name="")]) -> None:
    """Train a class-conditional diffusion model on labelled images.

    Example: marmor train digits --data mnist-m --run runs/first --minutes 10
    """
    run = digits.train(settings)
    console.print(f"trained: {run.path}; draw from it and measure it: marmor report {run.path}")


def train_digits_two_domains(
    settings: Annotated[domains.DomainsSettings, arg(name="")],
) -> None:
    """Train one diffusion model on the same classes from two places.

    Example: marmor train digits-two-domains --data mnist-m svhn=SVHN_FOLDER --run runs/two --minutes 60
    """
    run = domains.train(settings)
    console.print(f"trained: {run.path}; draw from it and measure it: marmor report {run.path}")


def train_faces(settings: Annotated[faces.FacesSettings, arg(name="")]) -> None:
    """Train a diffusion model on images without classes, 64×64.

    Example: marmor train faces --data faces --run runs/faces --minutes 30
    """
    run = faces.train(settings)
    console.print(f"trained: {run.path}; draw from it and show it: marmor report {run.path}")


def train_gan_faces(settings: Annotated[gan_faces.GanSettings, arg(name="")]) -> None:
    """Train a GAN on faces or other images, 64×64.

    Example: marmor train gan-faces --data FOLDER --objective r3gan --run runs/gan --minutes 30
    """
    run = gan_faces.train(settings)
    console.print(f"trained: {run.path}; draw from it and show it: marmor report {run.path}")


def train_iclevr(settings: Annotated[iclevr.ScenesSettings, arg(name="")]) -> None:
    """Train a diffusion model that draws sets of objects, 64×64.

    Example: marmor train iclevr --data scenes --run runs/iclevr --minutes 90
    """
    run = iclevr.train(settings)
    console.print(
        f"trained: {run.path}; draw from it: marmor sample {run.path} --spec LIST --out DIR"
    )


def study_iclevr(settings: Annotated[study.StudySettings, arg(name="")]) -> None:
    """Compare ways to embed, predict, average and draw sets of objects, at equal budget, in one table.

    Example: marmor study iclevr --data scenes --run runs/study --minutes 10
    """
    study.study(settings)


def train_judge(settings: Annotated[judge.JudgeSettings, arg(name="")]) -> None:
    """Train a classifier that reads images and judges samples.

    Example: marmor train judge --data mnist-m --run runs/judge
    """
    run = judge.train(settings)
    console.print(f"trained: {run.path}; read images: marmor score IMAGES --judge {run.path}")


def train_scene_judge(
    settings: Annotated[scene_judge.SceneJudgeSettings, arg(name="")],
) -> None:
    """Train a judge that finds objects in pictures of scenes.

    Example: marmor train scene-judge --data scenes --run runs/scene-judge
    """
    run = scene_judge.train(settings)
    console.print(f"trained: {run.path}")


def train_tiny_clip(settings: Annotated[tiny_clip.TinyClipSettings, arg(name="")]) -> None:
    """Train a small CLIP on captioned pictures, as a folder of transformers.

    Example: marmor train tiny-clip --run runs/tiny-clip --minutes 25
    """
    tiny_clip.train(settings)


def train_tiny_text_to_image(
    settings: Annotated[tiny_text_to_image.TinyTextToImageSettings, arg(name="")],
) -> None:
    """Train a small text-to-image pipeline on captioned pictures, as a folder of diffusers.

    Example: marmor train tiny-text-to-image --run runs/tiny-text-to-image --minutes 65
    """
    tiny_text_to_image.train(settings)


def adapt(settings: Annotated[adapt_recipe.AdaptSettings, arg(name="")]) -> None:
    """Train a classifier for images without labels from labelled images of another kind.

    Example: marmor adapt --source mnist-m --target optical-digits --run runs/adapt
    """
    page = adapt_page.tell(adapt_recipe.adapt(settings))
    console.print(f"open the report: {page}; label images: marmor predict {settings.run} IMAGES")


def evaluate(
    generated: Positional[Data],
    settings: Evaluated,
    out: Path | None = None,
) -> None:
    """Tell whether generated images are like real ones: distances, precision and recall, copies, faces.

    Example: marmor evaluate drawn --real faces64_val.zip --faces --out evaluation

    Args:
        generated: a folder, zip or npz of generated images, or any data.
        out: folder for summary.json, the table, the nearest training images and report.html.
    """
    evaluation_page.tell(evaluating.evaluate(generated, settings), out)


def compare(
    generated: Positional[tuple[str, ...]],
    settings: Evaluated,
    out: Path = Path("comparison"),
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
) -> None:
    """Write what a trained classifier reads in images as image_name,label.

    Example: marmor predict runs/adapt photos --out pred.csv

    Args:
        run: a run of `marmor adapt` or `marmor train judge`, or pretrained:digit-judge.
        images: a folder of images, or any data.
        out: the CSV to write.
        like: a CSV whose order of image names is kept; the folder's own when left out.
        probabilities: add a column for each class.
    """
    predicting.predict(run, images, out, like, probabilities)


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


def personalize_textual_inversion(
    settings: Annotated[
        OmitArgPrefixes[UseAppendAction[textual_inversion.InversionSettings]], arg(name="")
    ],
) -> None:
    """Teach a text-to-image pipeline new words from a few photos each; nothing but the words is trained.

    Example: marmor personalize textual-inversion --pipeline DIR --concept '<new1>=photos' --word dog
    """
    run = textual_inversion.train(settings)
    console.print(f"learned: {run.path}/embeddings; load it with diffusers' load_textual_inversion")


def personalize_custom_diffusion(
    settings: Annotated[
        OmitArgPrefixes[UseAppendAction[custom_diffusion.CustomSettings]], arg(name="")
    ],
) -> None:
    """Teach a pipeline new words and the weights that read them, without its forgetting their kind.

    Example: marmor personalize custom-diffusion --pipeline DIR --concept '<new1>=photos' --word dog
    """
    run = custom_diffusion.train(settings)
    console.print(
        f"learned: {run.path}; a pipeline of it: marmor personalize export {run.path} --out DIR"
    )


def personalize_lora(
    settings: Annotated[OmitArgPrefixes[UseAppendAction[lora.LoraSettings]], arg(name="")],
) -> None:
    """Teach a pipeline concepts as low-rank weights beside its own, which diffusers loads as LoRA.

    Example: marmor personalize lora --pipeline DIR --concept '<new1>=photos' --word dog
    """
    run = lora.train(settings)
    console.print(
        f"learned: {run.path}; load it with diffusers' load_lora_weights, and its words as well"
    )


def personalize_merge(
    runs: Positional[tuple[Path, ...]],
    run: Path = Path("runs/merged"),
    prompt: UseAppendAction[tuple[str, ...]] = (),
    captions: Path | None = None,
) -> None:
    """Merge concepts that were learned apart in the same pipeline, in closed form.

    Example: marmor personalize merge runs/dog runs/cat --run runs/both

    Args:
        runs: runs of `marmor personalize custom-diffusion`, or of textual-inversion.
        run: the run folder to write.
        prompt: sentences with {}, in which the words must be answered as their own runs answer them; 'a photo
            of a {}' when left out.
        captions: a text file, one caption a line, on which the pipeline should stay as it is; plain sentences
            of the tokenizer's own words when left out.
    """
    made = merging_runs.merge_runs(runs, run, prompt or merging_runs.PROMPTS, captions)
    console.print(f"merged: {made.path}; how well: {made.path}/summary.json")


def personalize_import(
    files: Positional[tuple[Path, ...]], pipeline: Path, run: Path = Path("runs/imported")
) -> None:
    """Make a run of files of learned words, Custom Diffusion or LoRA that others wrote.

    Example: marmor personalize import custom-diffusion-output --pipeline DIR --run runs/theirs

    Args:
        files: such files, folders that hold them, or another run.
        pipeline: the pipeline that they were learned on.
        run: the run folder to write.
    """
    made = bringing_in.bring_in(files, pipeline, run)
    console.print(f"imported: {made.path}")


def personalize_export(
    run: Positional[Path], out: Path, to: personalized.Target = "pipeline"
) -> None:
    """Write a run as a whole pipeline with all that was learned in it, or as files for diffusers.

    Example: marmor personalize export runs/dog --out pipelines/dog

    Args:
        run: a run of `marmor personalize`.
        out: a new folder.
        to: a whole pipeline, or the files' ending: one a word, and one with the weights of the U-Net.
    """
    personalized.export(run, out, to)
    console.print(f"exported: {out}")


def personalize_score(
    folders: Positional[tuple[str, ...]],
    settings: Annotated[OmitArgPrefixes[personal_scoring.PersonalScoreSettings], arg(name="")],
) -> None:
    """Tell how like its photos and its prompt what was drawn is, and what leaks between concepts.

    Example: marmor personalize score plain=drawn regional=apart --input input.json --model clip-vit-b32

    Args:
        folders: folders of `marmor generate --input`, DIR or NAME=DIR; several are compared.
    """
    personal_scoring_page.tell(personal_scoring.score(folders, settings))


def generate(
    run: Positional[Path],
    settings: Annotated[OmitArgPrefixes[UseAppendAction[prompting.GenerateSettings]], arg(name="")],
) -> None:
    """Draw pictures by prompts, new words in them; the same command again goes on where it was stopped.

    Example: marmor generate runs/dog --prompt 'a <new1> next to a <new2>' --count 25 --out drawn

    Args:
        run: a run of `marmor personalize`, or any folder of diffusers' StableDiffusionPipeline.
    """
    generating.generate(run, settings)


def resume(run: Positional[Path]) -> None:
    """Go on with an interrupted run to the end of its budget.

    Example: marmor resume runs/first

    Args:
        run: the run folder.
    """
    running.resume(run)


def sample(
    model: Positional[Spec],
    out: Path,
    per_class: int | None = None,
    count: int | None = None,
    classes: str = "",
    domain: str = "",
    spec: Path | None = None,
    seed: int = 0,
    how: How = UNCHANGED,
    steering: Steered = UNSTEERED,
    precision: Precision = "auto",
) -> None:
    """Draw images of each class as <class>_<nnn>.png, or one for each entry of a list as <k>.png.

    Example: marmor sample pretrained:digits --out digits --per-class 10

    Args:
        model: a run folder, pretrained:NAME, a file of weights, or a diffusers folder.
        out: folder for the images.
        per_class: images of each class; 100 when nothing is said.
        count: images in all instead, of each class as many as of the others, or one more.
        classes: comma-separated names, such as 0,1; all when left out.
        domain: comma-separated names, for a model that draws several, each into a folder of its own; all when
            left out.
        spec: a JSON list of sets of objects to draw, for a model of scenes.
        seed: the same seed gives the same files.
        how: the model's own where left out.
        steering: none where left out.
        precision: auto is bf16 where the processor has it.
    """
    if per_class is not None and count is not None:
        raise UserError("--per-class and --count both say how many images; give one of them.")
    generator = steered(load_generator(model).wished(how), steering)
    each = PER_CLASS if per_class is None else per_class
    asks = asked(generator, each, classes, domain, spec, count)
    write_images(draw_with_bar(generator, asks, seed, precision), out, generator.remark)
    console.print(" ".join(filter(None, (f"{len(asks)} images → {out}", generator.remark))))


def score(
    images: Positional[Data],
    judge: str | None = None,
    spec: Path | None = None,
    seeds: int = scene_scoring.SEEDS,
    split: str = "test",
    crop: int | None = None,
    real: str | None = None,
    out: Path | None = None,
    steering: Steered = UNSTEERED,
) -> None:
    """Tell how often a judge reads in images what their names, or a list, say.

    Example: marmor score digits --judge pretrained:digit-judge --out scores

    Args:
        images: a folder of <class>_<nnn>.png, or any labelled data; with --spec a folder of <k>.png, or a
            model of scenes, which is drawn from.
        judge: a judge's run, pretrained:NAME, or the course's checkpoint file; the shipped one when left out.
        spec: the JSON list of sets of objects that pictures of scenes should show.
        seeds: how often a model of scenes is drawn from.
        split: which split of the images, where they have splits.
        crop: side of the central square to read, of real images too; 28 for the published MNIST-M.
        real: labelled real images; adds the Fréchet distance on judge features and its floor.
        out: folder for summary.json and the confusion matrix.
        steering: of a model of scenes; none where left out.
    """
    if spec is not None:
        scene_scoring.score_scenes(images, spec, judge, seeds, out, steering)
    elif steering != UNSTEERED:
        raise UserError(
            "--steer is for drawing the sets of objects of a list; name it with --spec."
        )
    else:
        running.score(images, judge or PRETRAINED + DEFAULT_JUDGE, split, crop, real, out)


def grid(
    model: Positional[Spec],
    out: Path = Path("grid.png"),
    columns: int = 10,
    domain: str = "",
    spec: Path | None = None,
    seed: int = 0,
    how: How = UNCHANGED,
    steering: Steered = UNSTEERED,
) -> None:
    """Draw a picture with a row for each class, or one of the scenes that a list asks for.

    Example: marmor grid pretrained:digits --out grid.png

    Args:
        model: a run folder, pretrained:NAME, a file of weights, or a diffusers folder.
        out: the PNG to write.
        columns: images of each class, or in a row of scenes.
        domain: comma-separated names, for a model that draws several; all when left out.
        spec: a JSON list of sets of objects to draw, for a model of scenes.
        seed: of the noises.
        how: the model's own where left out.
        steering: none where left out.
    """
    generator = steered(load_generator(model).wished(how), steering)
    each = columns if generator.class_names else columns**2
    asks = asked(generator, each, domain=domain, spec=spec)
    path = pictures.grid_command(generator, asks, columns, seed, out)
    console.print(" ".join(filter(None, (f"grid: {path}", generator.remark))))


def strip(
    model: Positional[Spec],
    class_: Annotated[str, arg(name="class")] = "",
    out: Path = Path("strip.png"),
    frames: int = 6,
    domain: str = "",
    objects: str = "",
    seed: int = 0,
    how: How = UNCHANGED,
) -> None:
    """Show how one image is carved out of noise.

    Example: marmor strip pretrained:digits --class 0 --frames 6 --out strip.png

    Args:
        model: a run folder, pretrained:NAME, a file of weights, or a diffusers folder.
        class_: what to draw; the first class when left out.
        out: the PNG to write.
        frames: how many states to show, the first is noise, the last the image.
        domain: for a model that draws several; its first when left out.
        objects: comma-separated, such as "red sphere, cyan cube", for a model of scenes.
        seed: of the noise.
        how: the model's own where left out.
    """
    generator = load_diffusion(model).wished(how)
    if objects:
        ask = ask_objects(generator, objects)
    else:
        [ask, *_] = asked(generator, 1, class_, domain)
    pictures.save_png(pictures.process_strip(generator, ask, seed, frames), out)
    console.print(f"strip: {out}")


def ddim(
    settings: Annotated[OmitArgPrefixes[ddim_recipe.DdimSettings], arg(name="")],
    class_: Annotated[str, arg(name="class")] = "",
) -> None:
    """Draw from somebody else's U-Net and noises by DDIM, and compare with true images.

    Example: marmor ddim --unet UNet.pt --noises noises --out images --truth truth

    Args:
        class_: what a model with classes draws; nothing is said when left out.
    """
    ddim_recipe.run(settings, class_)


def eta_grid(
    model: Positional[Spec],
    noises: Path | None = None,
    columns: int | None = None,
    class_: Annotated[str, arg(name="class")] = "",
    steps: int = STILL_STEPS,
    out: Path = Path("eta-grid.png"),
    seed: int = 0,
    precision: Precision = "auto",
) -> None:
    """Show what fresh noise does: rows are eta 0 to 1, columns are starting noises.

    Example: marmor eta-grid pretrained:digits --class 3 --out eta-grid.png

    Args:
        model: a run folder, pretrained:NAME, a file of weights, or a diffusers folder.
        noises: a folder of NN.pt, NN.npy or NN.safetensors; those of the seeds 0, 1, … when left out.
        columns: how many of them; all of the folder, or 4, when left out.
        class_: what to draw; the first class when left out.
        steps: of DDIM.
        out: the PNG to write.
        seed: of the fresh noise.
        precision: auto is bf16 where the processor has it.
    """
    generator = load_diffusion(model).wished(Wishes(steps=steps))
    chosen = exploring.noises_of(noises, columns, generator)
    name = class_ or names_of(generator)[0]
    image = exploring.eta_grid(generator, chosen, name, seed=seed, precision=precision)
    pictures.save_png(image, out)
    console.print(f"eta grid: {out}")


def interpolate(
    model: Positional[Spec],
    from_: Annotated[str, arg(name="from")] = "0",
    to: str = "1",
    alphas: str = "0:1:0.1",
    method: str = "slerp,lerp",
    class_: Annotated[str, arg(name="class")] = "",
    steps: int | None = None,
    out: Path = Path("interpolation.png"),
    precision: Precision = "auto",
) -> None:
    """Show the images between two noises, along the great circle and along the straight line.

    Example: marmor interpolate pretrained:digits --from 0 --to 1 --class 3

    Args:
        model: a run folder, pretrained:NAME, a file of weights, or a diffusers folder.
        from_: a noise: NN.pt, NN.npy, NN.safetensors, or a whole number, the seed to draw it from; of a GAN a
            latent vector, by its seed.
        to: the other one.
        alphas: shares of the way, first:last:step.
        method: slerp, lerp, or both.
        class_: what to draw, all along the way; the first class when left out.
        steps: of DDIM, 50 when left out; a GAN takes none.
        out: the PNG to write.
        precision: auto is bf16 where the processor has it.
    """
    ways, shares = exploring.check_ways(method), exploring.Alphas.parse(alphas).values()
    generator = load_generator(model)
    ends = exploring.noise_of(from_, generator), exploring.noise_of(to, generator)
    name = class_ or names_of(generator)[0]
    image = exploring.interpolation(generator, ends, name, shares, ways, steps, precision)
    pictures.save_png(image, out)
    console.print(f"interpolation: {out}")


def invert(
    model: Positional[Spec],
    images: Data,
    out: Path,
    steps: int = STILL_STEPS,
    corrections: int = 0,
    precision: Precision = "fp32",
) -> None:
    """Find the noise from which a model draws given images, by DDIM backwards.

    Example: marmor invert pretrained:digits --images drawn --out noises

    Args:
        model: a run folder, pretrained:NAME, a file of weights, or a diffusers folder.
        images: a folder of images of the model's size, or any data; of labelled ones the class is kept.
        out: folder for the noises, inversion.csv and inversion.png.
        steps: of DDIM, there and back.
        corrections: further estimates of each step; more come back more exactly.
        precision: auto is bf16 where the processor has it.
    """
    inverting.invert(load_diffusion(model), images, out, steps, corrections, precision)


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


def export(
    run: Positional[Path],
    out: Path | None = None,
    to: tuple[Literal["diffusers"], Path] | None = None,
    note: str = "",
    guidance: float | None = None,
) -> None:
    """Write a trained model as a small folder that every command takes, or one for diffusers.

    Example: marmor export runs/first --out models/first

    Args:
        run: the run folder.
        out: a new folder for config.json and model.safetensors, in half precision.
        to: diffusers and a new folder for unet, scheduler and model_index.json; --network unet only.
        note: what the model is and what it was trained on.
        guidance: the scale it is drawn with from then on; long training needs less.
    """
    if out is None and to is None:
        raise UserError("name a new folder with --out, or one for diffusers with --to diffusers.")
    if to is not None:
        hub.write_hub(load_diffusion(str(run)), to[1])
        console.print(f"exported: {to[1]}")
    if out is not None:
        exporting.export(run, out, note, guidance)
        console.print(f"exported: {out}")


def list_(runs: Path = Path("runs")) -> None:
    """List recipes, embedded data, shipped weights and runs.

    Example: marmor list

    Args:
        runs: the folder whose runs are listed.
    """
    running.list_everything(runs)


def data_show(
    data: Positional[Data], split: str = "train", out: Path = Path("contact-sheet.png")
) -> None:
    """Tell what a data set is: counts, sizes, classes, ranges, fingerprint, a contact sheet.

    Example: marmor data show mnist-m

    Args:
        data: an embedded name or a path.
        split: train, val or test.
        out: the contact sheet, a PNG.
    """
    running.show_data(data, split, out)


def data_make_mnist_m(
    out: Path,
    digits: str = "digits",
    photos: Path | None = None,
    count: int | None = None,
    seed: int = 0,
    full: bool = False,
    without: str | None = None,
) -> None:
    """Make MNIST-M: digits that invert the photographs they lie on.

    Example: marmor data make mnist-m --digits mnist.npz --photos photos --out mnist-m.npz

    Args:
        out: an .npz file or a new folder.
        digits: grey digits with train and test splits; the embedded ones when left out.
        photos: a folder of photographs; the embedded ones when left out.
        count: training images to make; one for each digit when left out.
        seed: everything random follows from it.
        full: digits invert fully, without grey edges, as in the published test set.
        without: data whose test split (all of it, where it has no splits) is kept out of training.
    """
    making.mnist_m(digits, photos, count, seed, full, without, out)


def data_make_house_numbers(
    out: Path, count: int = 60_000, test: int = 10_000, seed: int = 0
) -> None:
    """Make house numbers: synthetic street digits, colour 32×32.

    Example: marmor data make house-numbers --out house-numbers.npz

    Args:
        out: an .npz file or a new folder.
        count: training images to make.
        test: test images to make.
        seed: everything random follows from it.
    """
    making.house_numbers(count, test, seed, out)


def data_make_scenes(
    out: Path,
    spec: Path | None = None,
    count: int = 6003,
    shapes: str | None = None,
    size: int = 64,
    seed: int = 0,
) -> None:
    """Make scenes of coloured solids: three pictures of each scene, with one, two and three objects.

    Example: marmor data make scenes --spec iclevr --out scenes

    Args:
        out: a new folder: pictures, objects.json, train.json, test.json, new_test.json.
        spec: a folder with those four files, whose very lists are rendered; drawn lists when left out.
        count: scenes to draw lists for, where none are given.
        shapes: comma-separated, of cube, sphere, cylinder, cone, ring; the first three when left out.
        size: side of the pictures in pixels.
        seed: everything random follows from it.
    """
    making.scenes(count, spec, shapes, size, seed, out)


def data_make_captioned_scenes(
    out: Path, count: int = 6000, each: int = 25, size: int = 64, seed: int = 0
) -> None:
    """Make scenes with sentences that say what they show, and pictures of objects that they never show.

    Example: marmor data make captioned-scenes --out captioned

    Args:
        out: a new folder: pictures, captions.json, objects.json, train.json; unseen/, new/ and id2label.json.
        count: pictures to make.
        each: pictures of each object that is kept out of them.
        size: side of the pictures in pixels.
        seed: everything random follows from it.
    """
    making.captioned_scenes(count, each, size, seed, out)


COMMANDS: dict[str, dict[str, Command]] = {
    "start": {"demo": demo, "list": list_},
    "data": {
        "data show": data_show,
        "data make mnist-m": data_make_mnist_m,
        "data make house-numbers": data_make_house_numbers,
        "data make scenes": data_make_scenes,
        "data make captioned-scenes": data_make_captioned_scenes,
    },
    "make": {
        "train digits": train_digits,
        "train digits-two-domains": train_digits_two_domains,
        "train faces": train_faces,
        "train gan-faces": train_gan_faces,
        "train iclevr": train_iclevr,
        "train judge": train_judge,
        "train scene-judge": train_scene_judge,
        "train tiny-clip": train_tiny_clip,
        "train tiny-text-to-image": train_tiny_text_to_image,
        "adapt": adapt,
        "personalize textual-inversion": personalize_textual_inversion,
        "personalize custom-diffusion": personalize_custom_diffusion,
        "personalize lora": personalize_lora,
        "personalize merge": personalize_merge,
        "personalize import": personalize_import,
        "resume": resume,
    },
    "draw": {
        "sample": sample,
        "generate": generate,
        "ddim": ddim,
        "invert": invert,
        "interpolate": interpolate,
        "eta-grid": eta_grid,
        "grid": grid,
        "strip": strip,
    },
    "measure": {
        "study iclevr": study_iclevr,
        "score": score,
        "evaluate": evaluate,
        "compare": compare,
        "predict": predict,
        "zero-shot": zero_shot,
        "probe": probe,
        "personalize score": personalize_score,
        "report": report,
    },
    "share": {"export": export, "personalize export": personalize_export},
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command; wrong input is one sentence and status 2, an interruption status 130."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _call(words)
    except UserError as error:
        print(f"marmor: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        console.print(
            "interrupted; what was done is saved. `marmor resume RUN` goes on with a run."
        )
        sys.exit(130)


def _call(words: list[str]) -> None:
    if words[:1] == ["--version"]:
        console.print(__version__)
        return
    if not words or words[0] in ("-h", "--help"):
        console.print(_overview())
        return
    every = {name: command for group in COMMANDS.values() for name, command in group.items()}
    for length in range(min(len(words), 3), 0, -1):
        name = " ".join(words[:length])
        if name in every:
            tyro.cli(every[name], args=words[length:], prog=f"marmor {name}")
            return
    inner = [name for name in every if name.startswith(words[0] + " ")]
    if inner and (len(words) == 1 or words[1] in ("-h", "--help")):
        console.print("\n".join(_line(name, every[name]) for name in inner))
        return
    if inner:
        kind = "recipe" if words[0] == "train" else f"`marmor {words[0]}` command"
        raise unknown_name(kind, words[1], [name.split(" ", 1)[1] for name in inner])
    raise unknown_name("command", words[0], {name.split()[0] for name in every})


def _overview() -> str:
    lines = ["marmor: train, sample, measure and show image generators on your own machine.", ""]
    for group, commands in COMMANDS.items():
        lines.append(group)
        lines += [_line(name, command) for name, command in commands.items()]
    return "\n".join([*lines, "", "`marmor COMMAND --help` explains a command with an example."])


def _line(name: str, command: Command) -> str:
    first = (command.__doc__ or "").splitlines()[0]
    return f"  {name:<24} {first}"
