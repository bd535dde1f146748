"""Seconds of a personalization step against a plain loop, and the sizes of what is saved.

    python benchmarks/personalization.py --pipeline runs/tiny-text-to-image

The plain loop is what people write after diffusers' examples: a DataLoader that opens, crops, mirrors and
tokenizes, the autoencoder, noise, the text encoder, the U-Net, the loss, AdamW on the whole table of words,
and then the rows that should not have moved put back (textual inversion), or their gradients put to zero
(Custom Diffusion, each photo with a picture of its kind). Both take the same pipeline, photos, batches and
number formats, in turn, so that both see the same machine; starting up is not counted. A random pipeline of
the size of `marmor train tiny-text-to-image` is made where none is named: weights do not change the speed.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from marmor.base.files import write_json
from marmor.base.pixels import to_unit
from marmor.data.scenes import EVERY_OBJECT, make_scenes
from marmor.language import clip_tokenizer
from marmor.personalization import Concepts, add_placeholder, first_vectors, projection_names
from marmor.recipes import custom_diffusion, lora, textual_inversion, tiny_text_to_image
from marmor.recipes.concepts import SENTENCES, ConceptMethod, ConceptWishes
from marmor.recipes.drawing import picture
from marmor.recipes.folders import hub_folder
from marmor.recipes.personalized import export
from marmor.recipes.text_to_image import image_side, load_pipeline, training_scheduler
from marmor.recipes.tiny_parts import (
    PipelineSizes,
    autoencoder,
    new_words,
    pipeline_of,
    save_pipeline,
    unet,
)
from marmor.training import Budget, LoopSettings, Precision, RunFolder, autocast, fit, resolve

WORD, KIND, NEW = "<new1>", "cylinder", "red cone"
PHOTOS = 5
SIDE = 64


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Args:
        pipeline: a folder of diffusers' StableDiffusionPipeline that knows "cylinder"; a random one when left
            out.
        steps: of one timed piece.
        pairs: of pieces; medians are reported.
        batch: photos a step.
        prior: pictures of the concept's kind.
        out: folder for personalization.json.
    """

    pipeline: Path | None = None
    steps: int = 30
    pairs: int = 5
    batch: int = 4
    prior: int = 20
    out: Path = Path("runs/benchmark-personalization")


def main(settings: Settings) -> dict[str, float | int]:
    """Measures, writes personalization.json, prints, and gives what it has found."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pipeline = settings.pipeline or write_pipeline(folder / "pipeline")
        write_pictures(folder / "photos", NEW, PHOTOS)
        write_pictures(folder / "prior", f"red {KIND}", settings.prior)
        result = sizes(pipeline, folder)
        formats: list[Precision] = ["fp32"]
        if resolve("auto", torch.device("cpu")) == "bf16":
            formats.append("bf16")
        for number_format in formats:
            for how in ("textual inversion", "custom diffusion"):
                result |= timed(settings, how, number_format, pipeline, folder)
    write_json(settings.out / "personalization.json", result)
    for name, value in result.items():
        print(f"{name}: {value:,.4g}" if isinstance(value, float) else f"{name}: {value:,}")
    return result


def write_pipeline(folder: Path) -> Path:
    """Random weights, 64×64 pixels."""
    torch.manual_seed(0)
    sizes = PipelineSizes()
    said = [sentence.format(KIND) for sentence in SENTENCES]
    words = new_words(clip_tokenizer([*said, "one object"], sizes.context), sizes)
    network = unet(sizes, SIDE, sizes.text[0])
    save_pipeline(pipeline_of(words, network, autoencoder(sizes, SIDE)), folder)
    return folder


def write_pictures(folder: Path, name: str, count: int) -> None:
    folder.mkdir()
    drawn = make_scenes([[EVERY_OBJECT.index(name)]] * count, seed=0, side=SIDE)
    for number, image in enumerate(drawn):
        picture(image).save(folder / f"{number}.png")


def wishes(kind: type[ConceptWishes], pipeline: Path, folder: Path, batch: int) -> dict[str, Any]:
    """What all of marmor's ways are asked for."""
    more = {"prior": (folder / "prior",)} if kind is custom_diffusion.CustomSettings else {}
    concept = (f"{WORD}={folder / 'photos'}",)
    return {"pipeline": pipeline, "concept": concept, "word": (KIND,), "batch": batch, **more}


def sizes(pipeline: Path, folder: Path) -> dict[str, float | int]:
    """Bytes of what each way saves after a step, beside the whole pipeline."""
    whole = _bytes(hub_folder(pipeline, tiny_text_to_image.RECIPE))
    found: dict[str, float | int] = {"bytes.pipeline": whole}
    for recipe, kind, files in (
        (textual_inversion, textual_inversion.InversionSettings, ["embeddings"]),
        (
            custom_diffusion,
            custom_diffusion.CustomSettings,
            ["embeddings", "pytorch_*.safetensors"],
        ),
        (lora, lora.LoraSettings, ["embeddings", "pytorch_*.safetensors"]),
    ):
        asked = wishes(kind, pipeline, folder, 1)
        run = folder / "sizes" / recipe.RECIPE
        recipe.train(kind(**asked, run=run, steps=1))
        for pattern in files:
            for path in sorted(run.glob(pattern)):
                found[f"bytes.{recipe.RECIPE}.{path.name}"] = _bytes(path)
    export(run, folder / "whole")
    return found | {"bytes.exported": _bytes(folder / "whole")}


def _bytes(path: Path) -> int:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(each.stat().st_size for each in files)


def timed(
    settings: Settings, how: str, precision: Precision, pipeline: Path, folder: Path
) -> dict[str, float | int]:
    """Medians of both, and the median of the ratios of pairs."""
    own = ours(how, pipeline, folder, settings.batch)
    peer = Plain(how == "custom diffusion", pipeline, folder, settings.batch)
    pieces: list[Callable[[], float]] = [
        lambda: marmor_loop(own, settings.steps, precision),
        lambda: peer.run(settings.steps, precision),
    ]
    for piece in pieces:  # once without counting
        piece()
    pairs = [(pieces[0](), pieces[1]()) for _ in range(settings.pairs)]
    mine, theirs = (statistics.median(seconds) for seconds in zip(*pairs, strict=True))
    name = f"{how}.{precision}"
    return {
        f"{name}.seconds_per_step": mine / settings.steps,
        f"{name}.plain.seconds_per_step": theirs / settings.steps,
        f"{name}.ratio": statistics.median(b / a for a, b in pairs),
    }


def ours(how: str, pipeline: Path, folder: Path, batch: int) -> ConceptMethod:
    if how == "textual inversion":
        kind = textual_inversion.InversionSettings
        return textual_inversion.method_of(kind(**wishes(kind, pipeline, folder, batch)))
    kind = custom_diffusion.CustomSettings
    asked = kind(**wishes(kind, pipeline, folder, batch))
    lesson, prior = custom_diffusion.prepare_with_prior(asked)
    return custom_diffusion.method_of(asked, lesson, prior)


def marmor_loop(method: ConceptMethod, steps: int, precision: Precision) -> float:
    """Seconds of the steps in marmor's loop, without its last checkpoint."""
    assert isinstance(method.module, Concepts)
    loop = LoopSettings(Budget(steps=steps), ema=0.98, precision=precision)
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder))
        fit(method, run, loop, lambda share, record: None)
        return run.history()[-1]["seconds"]


class Photos(Dataset[tuple[Tensor, Tensor]]):
    """A picture of a folder and the tokens of a sentence about it."""

    def __init__(self, folder: Path, called: str, tokenizer: Any, side: int) -> None:
        self.paths = sorted(folder.iterdir())
        self.called, self.tokenizer, self.side = called, tokenizer, side

    def __len__(self) -> int:
        return 100 * len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = Image.open(self.paths[index % len(self.paths)]).convert("RGB")
        image = ImageOps.fit(image, (self.side, self.side), Image.Resampling.BICUBIC)
        if torch.rand(()) < 0.5:
            image = ImageOps.mirror(image)
        pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        pixels = pixels.view(self.side, self.side, 3).permute(2, 0, 1)
        sentence = SENTENCES[int(torch.randint(len(SENTENCES), ()))].format(self.called)
        tokens = self.tokenizer(sentence, padding="max_length", return_tensors="pt")["input_ids"]
        return to_unit(pixels), tokens[0]


class Plain:
    """A pipeline with a new word, ready to be trained as diffusers' examples do it."""

    def __init__(self, custom: bool, pipeline: Path, folder: Path, batch: int) -> None:
        self.pipeline, self.custom = load_pipeline(pipeline), custom
        self.scheduler = training_scheduler(self.pipeline)
        parts = self.pipeline.tokenizer, self.pipeline.text_encoder
        word = add_placeholder(*parts, WORD, first_vectors(*parts, KIND, 1))
        self.table = self.pipeline.text_encoder.get_input_embeddings().weight
        self.table.requires_grad_(True)
        self.others = torch.ones(len(self.table), dtype=torch.bool)
        self.others[list(word.ids)] = False
        trained = [self.table]
        if custom:
            names = set(projection_names(self.pipeline.unet))
            weights = [p for n, p in self.pipeline.unet.named_parameters() if n in names]
            trained += [weight.requires_grad_(True) for weight in weights]
        self.optimizer = torch.optim.AdamW(trained, lr=5e-4)

        def loader(folder: Path, called: str) -> DataLoader[tuple[Tensor, Tensor]]:
            photos = Photos(folder, called, parts[0], image_side(self.pipeline))
            return DataLoader(photos, batch, shuffle=True, drop_last=True)

        self.photos, self.prior = loader(folder / "photos", WORD), loader(folder / "prior", KIND)

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Pictures and tokens; each photo with one of its kind for Custom Diffusion."""
        while True:
            if not self.custom:
                yield from self.photos
                continue
            for photo, kin in zip(self.photos, self.prior, strict=False):
                yield torch.cat([photo[0], kin[0]]), torch.cat([photo[1], kin[1]])

    def run(self, steps: int, precision: Precision) -> float:
        """Seconds of the steps."""
        kept = self.table.detach().clone()
        device = torch.device("cpu")
        batches = self.batches()
        began = time.perf_counter()
        for _ in range(steps):
            images, tokens = next(batches)
            with autocast(resolve(precision, device), device):
                loss = self.loss(images, tokens)
            loss.backward()
            if self.custom:
                assert self.table.grad is not None
                self.table.grad[self.others] = 0
            self.optimizer.step()
            self.optimizer.zero_grad()
            if not self.custom:
                with torch.no_grad():
                    self.table[self.others] = kept[self.others]
        return time.perf_counter() - began

    def loss(self, images: Tensor, tokens: Tensor) -> Tensor:
        pipeline, scheduler = self.pipeline, self.scheduler
        latents = pipeline.vae.encode(images).latent_dist.sample().detach()
        latents = latents * pipeline.vae.config.scaling_factor
        noise = torch.randn_like(latents)
        times = torch.randint(scheduler.config["num_train_timesteps"], (len(latents),))
        noisy = scheduler.add_noise(latents, noise, times)
        states = pipeline.text_encoder(tokens)[0]
        said = pipeline.unet(noisy, times, states).sample
        velocity = scheduler.config["prediction_type"] == "v_prediction"
        target = scheduler.get_velocity(latents, noise, times) if velocity else noise
        if not self.custom:
            return F.mse_loss(said.float(), target.float())
        (said, kin), (target, kin_target) = said.chunk(2), target.chunk(2)
        prior = F.mse_loss(kin.float(), kin_target.float())
        return F.mse_loss(said.float(), target.float()) + prior


if __name__ == "__main__":
    main(tyro.cli(Settings))
