"""`marmor train …`, `marmor adapt` and `marmor study iclevr`."""

from typing import Annotated

from tyro.conf import arg

from marmor.base.progress import console
from marmor.recipes import adapt as adapt_recipe
from marmor.recipes import (
    adapt_page,
    digits,
    domains,
    faces,
    gan_faces,
    iclevr,
    judge,
    scene_judge,
    study,
    tiny_clip,
    tiny_text_to_image,
)


def train_digits(settings: Annotated[digits.DigitsSettings, arg(name="")]) -> None:
    """Train a class-conditional diffusion model on labelled images.

    Example: marmor train digits --data mnist-m --run runs/first --minutes 10
    """
    run = digits.train(settings)
    console.print(f"trained: {run.path}; draw from it and measure it: marmor report {run.path}")


def train_digits_two_domains(settings: Annotated[domains.DomainsSettings, arg(name="")]) -> None:
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


def train_judge(settings: Annotated[judge.JudgeSettings, arg(name="")]) -> None:
    """Train a classifier that reads images and judges samples.

    Example: marmor train judge --data mnist-m --run runs/judge
    """
    run = judge.train(settings)
    console.print(f"trained: {run.path}; read images: marmor score IMAGES --judge {run.path}")


def train_scene_judge(settings: Annotated[scene_judge.SceneJudgeSettings, arg(name="")]) -> None:
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
    console.print(
        f"open the report: {page}; label images: marmor predict {settings.run} IMAGES --out pred.csv"
    )


def study_iclevr(settings: Annotated[study.StudySettings, arg(name="")]) -> None:
    """Compare ways to embed, predict, average and draw sets of objects, at equal budget, in one table.

    Example: marmor study iclevr --data scenes --run runs/study --minutes 10
    """
    study.study(settings)
