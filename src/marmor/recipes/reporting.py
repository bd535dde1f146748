"""From a trained run to a page: samples, figures, numbers, report.html and summary.json."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from marmor.base.errors import UserError
from marmor.base.progress import console
from marmor.data import DOMAIN, SHOWS
from marmor.figures import bars, confusion
from marmor.networks.summary import format_summary, summarise
from marmor.recipes import gan_reporting, personal_reporting
from marmor.recipes.asking import PER_CLASS, ask_any_scenes, ask_classes
from marmor.recipes.commands import options
from marmor.recipes.denoising import DiffusionGenerator
from marmor.recipes.drawing import Drawn, as_images, draw_with_bar, write_images
from marmor.recipes.face_shares import FaceShares, face_shares
from marmor.recipes.folders import DRAWING_RECIPES
from marmor.recipes.generators import EVERYWHERE
from marmor.recipes.latents import LatentGenerator
from marmor.recipes.models import LoadedJudge, find_judges, load_generator
from marmor.recipes.page import Findings, Measured, held_out, of, page
from marmor.recipes.personalized import RECIPES as PERSONAL
from marmor.recipes.pictures import COLUMNS, class_grid, process_strip
from marmor.recipes.publishing import (
    check_real,
    clear,
    faces_to_compare,
    neighbours_of,
    publish,
    taken,
    training_curves,
)
from marmor.recipes.scene_reporting import draw_lists_of
from marmor.recipes.scoring import (
    accuracy,
    check_judge,
    distance_figures,
    figures_of,
    judge_images,
    mean_accuracy,
    real_features,
    with_interval,
)
from marmor.recipes.training_images import specs_of
from marmor.training import RunFolder


def report(
    path: Path,
    judge: str | None = None,
    per_class: int | None = None,
    seed: int = 1,
    beside: str | None = None,
    real: str | None = None,
) -> Path:
    """Draws, measures and shows a run; returns the page.

    Args:
        path: the run folder.
        judge: a judge's run, file or shipped name; the shipped one for digits when left out.
        per_class: images drawn and judged of each class, or in all where there are none, 100 when left out;
            of a personalized run images of each prompt, 6 when left out.
        seed: of the images; other than the training's own.
        beside: another generator whose grid is shown beside this one's.
        real: held-out real faces, for a run of faces; its data's own when left out.
    """
    run = RunFolder.open(path, *DRAWING_RECIPES, *PERSONAL)
    if run.recipe in PERSONAL:
        _only_drawn(path, judge, beside, real)
        return personal_reporting.report(run, per_class, seed)
    check_real(run, real)
    per_class = PER_CLASS if per_class is None else per_class
    generator = load_generator(str(path))
    if isinstance(generator, LatentGenerator):
        if judge is not None:
            raise UserError(
                f"{path} is a GAN, whose report no judge reads; leave --judge out, or score what "
                "`marmor sample` draws."
            )
        return gan_reporting.report(run, generator, per_class, seed, beside, real)
    assert isinstance(generator, DiffusionGenerator)
    if SHOWS in generator.vocabulary:
        if beside is not None:
            raise UserError(f"{path} is shown by its own lists; leave --beside out.")
        return _report_scenes(run, generator, judge, seed)
    if judge is not None and not generator.class_names:
        raise UserError(f"{path} draws no classes, so no judge can read them; leave --judge out.")
    readers = find_judges(judge, generator.vocabulary)
    for reader in readers.values():
        check_judge(reader, generator.class_names, generator.image_shape[0])
    others = faces_to_compare(run, real, generator.image_shape[1])
    started = time.perf_counter()
    asks = ask_classes(generator, per_class)
    drawn = draw_with_bar(generator, asks, seed, "auto")
    seconds = time.perf_counter() - started
    clear(path)
    write_images(drawn, path / "samples")

    measured = {
        domain: _measure(
            specs_of(run)[domain], generator, reader, of_domain(drawn, generator, domain), seed
        )
        for domain, reader in readers.items()
    }
    faces = face_shares(torch.stack([item.image for item in drawn]), others) if others else None
    figures = _figures(run, generator, drawn, seconds, measured, faces)
    figures |= {"sample.seed": seed, "sample.per_class": per_class}
    images = _pictures(run, generator, drawn, seed, measured)
    images["neighbours"], searched = neighbours_of(run, drawn)
    if beside is not None:
        images["beside"] = _beside(beside, seed)
    network = _model_summary(generator)
    found = Findings(
        run,
        generator,
        figures,
        images,
        network,
        measured,
        searched,
        faces,
        beside,
        words=options({"judge": judge, "beside": beside, "real": real}),
    )
    return publish(run, figures, images, network, page(found))


def _only_drawn(path: Path, judge: str | None, beside: str | None, real: str | None) -> None:
    """UserError for wishes that the report of a personalized run does not know."""
    for name, value in {"judge": judge, "beside": beside, "real": real}.items():
        if value is not None:
            raise UserError(
                f"{path} is a personalized pipeline, whose report measures nothing; leave --{name} out, or "
                "judge what `marmor generate` draws with `marmor personalize score`."
            )


def _report_scenes(
    run: RunFolder, generator: DiffusionGenerator, judge: str | None, seed: int
) -> Path:
    """The same for a model of sets of objects, which is asked for by lists."""
    scenes = draw_lists_of(run, generator, judge, seed)
    clear(run.path)
    for name, drawn in scenes.drawn.items():
        write_images(drawn, run.path / "samples" / name)
    figures = _trained(run, generator) | scenes.figures | {"sample.seed": seed}
    first = next(iter(scenes.drawn.values()))
    neighbours, searched = neighbours_of(run, first)
    images = scenes.images | training_curves(run) | {"neighbours": neighbours}
    network = _model_summary(generator)
    words = options({"judge": judge})
    found = Findings(
        run, generator, figures, images, network, {}, searched, scenes=scenes, words=words
    )
    return publish(run, figures, images, network, page(found))


def of_domain(drawn: list[Drawn], generator: DiffusionGenerator, domain: str) -> list[Drawn]:
    """Those of the images that were asked for in a domain."""
    if domain == EVERYWHERE:
        return drawn
    place = generator.domains.index(domain)
    return [item for item in drawn if int(item.ask.said[DOMAIN]) == place]


def _measure(
    spec: str,
    generator: DiffusionGenerator,
    reader: LoadedJudge,
    drawn: list[Drawn],
    seed: int,
) -> Measured:
    images = as_images(drawn, generator)
    reading = judge_images(reader, images)
    plain = replace(generator, drawing=replace(generator.drawing, guidance=1.0))
    asks = [item.ask for item in drawn]
    unguided = as_images(draw_with_bar(plain, asks, seed, "auto"), generator)
    try:
        found = real_features(reader, spec, generator.image_shape[1]).distance(reading)
    except UserError as error:
        console.print(f"no Fréchet distance: {error}")
        found = None
    return Measured(
        reader,
        accuracy(reader, images, reading),
        accuracy(reader, unguided, judge_images(reader, unguided)),
        found,
    )


def _figures(
    run: RunFolder,
    generator: DiffusionGenerator,
    drawn: list[Drawn],
    seconds: float,
    measured: dict[str, Measured],
    faces: FaceShares | None,
) -> dict[str, Any]:
    """summary.json: flat figures under dotted names."""
    figures = _trained(run, generator) | {"sample.seconds": seconds, "sample.images": len(drawn)}
    if faces is not None:
        figures |= faces.figures()
    for domain, found in measured.items():
        prefix = f"{domain}." if domain else ""
        figures |= {prefix + name: value for name, value in _judged(found).items()}
    shares = {domain: found.agreement.overall.value for domain, found in measured.items()}
    figures |= mean_accuracy(shares, generator.domains)
    for name, part in held_out(run, measured).items():
        figures |= with_interval(f"held_out.{name}.accuracy", part)
    return figures


def _trained(run: RunFolder, generator: DiffusionGenerator) -> dict[str, Any]:
    """What a run took, and what its model takes."""
    figures: dict[str, Any] = {
        "sample.calls": generator.calls,
        "model.parameters": sum(p.numel() for p in generator.denoiser.parameters()),
        **taken(run),
    }
    if history := run.history():
        figures["train.loss"] = history[-1]["loss"]
    return figures


def _judged(measured: Measured) -> dict[str, Any]:
    figures = figures_of(measured.agreement, measured.reader.class_names)
    figures["judge.accuracy.unguided"] = measured.unguided.overall.value
    return figures | (distance_figures(measured.distance) if measured.distance else {})


def _pictures(
    run: RunFolder,
    generator: DiffusionGenerator,
    drawn: list[Drawn],
    seed: int,
    measured: dict[str, Measured],
) -> dict[str, Image.Image]:
    each = max(item.ask.number for item in drawn)
    images: dict[str, Image.Image] = {}
    for domain in generator.domains:
        its = of_domain(drawn, generator, domain)
        shown = [item for item in its if item.ask.number <= COLUMNS**2]
        images[of("grid", domain)] = class_grid(shown, min(COLUMNS, each))
        images[of("process", domain)] = process_strip(generator, its[0].ask, seed)
    images |= training_curves(run)
    for domain, found in measured.items():
        names, result = found.reader.class_names, found.agreement
        shares = [(part.value, part.low, part.high) for part in result.per_class]
        title = "Read as asked, by class (95 % intervals)"
        images[of("classes", domain)] = bars(names, shares, title)
        images[of("confusion", domain)] = confusion(result.confusion, names, "Asked and read")
    return images


def _beside(spec: str, seed: int) -> Image.Image:
    other = load_generator(spec)
    asks = ask_any_scenes(other) if SHOWS in other.vocabulary else ask_classes(other, COLUMNS)
    return class_grid(draw_with_bar(other, asks, seed, "auto"), COLUMNS)


def _model_summary(generator: DiffusionGenerator) -> str:
    example = (
        torch.zeros(1, *generator.image_shape),
        torch.zeros(1),
        {name: kind.none(1) for name, kind in generator.denoiser.kinds.items()},
    )
    return format_summary(summarise(generator.denoiser.network, *example))
