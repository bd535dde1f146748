"""Language against plain loops: zero-shot answers, personalization steps, sizes of what is saved.

    python benchmarks/language.py

Zero-shot is images a second from files to answers. Both read the same PNG files and the same model folder,
embed the same sentences and name a class for each picture; imports are done before. They run in turn, so that
both see the same machine, then marmor once more with its cache. The network has random weights, which take as
long as trained ones. Then follows benchmarks/personalization.py: seconds a step, and the sizes. Writes
language.json with every ratio.
"""

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from PIL import Image
from tokenizers import pre_tokenizers
from transformers import (
    AutoProcessor,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTokenizer,
)

import personalization
from goals import Goal, held_against
from marmor.base.files import write_json
from marmor.base.seeds import torch_stream
from marmor.data import read
from marmor.language import LISTS, sentences_for
from marmor.recipes.zero_shot import ZeroShotSettings, zero_shot

BATCH = 64
CLASSES = tuple(f"thing {number}" for number in range(20))
SIZES = {"tiny": (64, 2, 2, 32, 16), "base": (768, 12, 12, 224, 32)}
"""Width, layers, heads, side of pictures and of patches; ``base`` is ViT-B/32."""


GOALS = {"marmor / transformers": 1.0, "cached / marmor": 20.0}
"""The least that is wanted of images a second."""
RATIO = ".ratio"
"""How names of personalization.py end: seconds a step of the plain loop over those of marmor."""


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Args:
        count: pictures.
        pairs: runs of each.
        size: of the random network: tiny, or base for ViT-B/32.
        images: pictures to use; noise of 64 pixels when left out.
        pipeline: for the personalization steps; a random one when left out.
        steps: of one timed piece of personalization.
        out: folder for language.json, and personalization.json.
    """

    count: int = 200
    pairs: int = 3
    size: Literal["tiny", "base"] = "base"
    images: str | None = None
    pipeline: Path | None = None
    steps: int = 30
    out: Path = Path("runs/benchmark-language")


def main(settings: Settings) -> None:
    zero_shot_figures = tell(measure(settings))
    steps = personalization.main(
        personalization.Settings(
            settings.pipeline, settings.steps, settings.pairs, out=settings.out
        )
    )
    goals = held_against(
        [
            *(Goal(name, least, zero_shot_figures[name]) for name, least in GOALS.items()),
            *(Goal(name, 1.0, value) for name, value in steps.items() if name.endswith(RATIO)),
        ]
    )
    file = settings.out / "language.json"
    told = {"zero-shot": zero_shot_figures, "personalization": steps, "goals": goals}
    write_json(file, told)
    print(f"written: {file}")


def measure(settings: Settings) -> dict[str, list[float]]:
    """Images a second of each pair, by who answered."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(settings.size, folder / "model")
        write_pictures(settings, folder / "pictures")
        (folder / "labels.json").write_text(json.dumps(CLASSES))
        found: dict[str, list[float]] = {"transformers": [], "marmor": [], "cached": []}
        for pair in range(settings.pairs):
            os.environ["MARMOR_CACHE"] = str(folder / f"cache-{pair}")
            answers = {}
            ways = [("transformers", plain), ("marmor", ours)]
            # Whoever comes first finds files and memory cold.
            for run, answer in (*(ways if pair % 2 else ways[::-1]), ("cached", ours)):
                seconds, answers[run] = timed(answer, folder)
                found[run].append(len(answers[run]) / seconds)
            same = (answers["transformers"] == answers["marmor"]).double().mean()
            assert torch.equal(answers["marmor"], answers["cached"])
            print(f"pair {pair + 1}: the same answers for {100 * same:.1f} % of the pictures")
    return found


def tell(found: dict[str, list[float]]) -> dict[str, float]:
    """Prints medians, and medians of the ratios of pairs, and gives them by name."""
    told = {f"{run}: images/s": statistics.median(rates) for run, rates in found.items()}
    for first, second in (("marmor", "transformers"), ("cached", "marmor")):
        ratios = [a / b for a, b in zip(found[first], found[second], strict=True)]
        told[f"{first} / {second}"] = statistics.median(ratios)
    for name, value in told.items():
        print(f"{name}: {value:.2f}")
    return told


def timed(answer: Callable[[Path], torch.Tensor], folder: Path) -> tuple[float, torch.Tensor]:
    began = time.monotonic()
    answers = answer(folder)
    return time.monotonic() - began, answers


def ours(folder: Path) -> torch.Tensor:
    settings = ZeroShotSettings(
        model=folder / "model", images=str(folder / "pictures"), labels=folder / "labels.json"
    )
    return zero_shot(settings).read


@torch.inference_mode()
def plain(folder: Path) -> torch.Tensor:
    """What people write: the processor, batches of files, the ensemble of the 80 templates."""
    model: Any = CLIPModel.from_pretrained(folder / "model").eval()
    processor = AutoProcessor.from_pretrained(folder / "model")
    unit = torch.nn.functional.normalize
    said = []
    for name in CLASSES:
        sentences = sentences_for(LISTS["openai"], [name])
        tokens = processor(text=sentences, return_tensors="pt", padding=True)
        said.append(unit(unit(model.get_text_features(**tokens).pooler_output).mean(0), dim=0))
    directions, answers = torch.stack(said), []
    paths = sorted((folder / "pictures").iterdir())
    for start in range(0, len(paths), BATCH):
        pictures = [Image.open(path).convert("RGB") for path in paths[start : start + BATCH]]
        seen = processor(images=pictures, return_tensors="pt")
        embedded = unit(model.get_image_features(**seen).pooler_output)
        answers.append((embedded @ directions.T).argmax(1))
    return torch.cat(answers)


def write_model(size: str, folder: Path) -> None:
    """A CLIP folder with random weights; every letter is a token."""
    width, layers, heads, side, patch = SIZES[size]
    block = {"num_hidden_layers": layers}
    vision = {"hidden_size": width, "intermediate_size": 4 * width, "num_attention_heads": heads}
    narrow = max(64, width * 2 // 3)
    text = {"hidden_size": narrow, "intermediate_size": 4 * narrow, "num_attention_heads": heads}
    sight = {"image_size": side, "patch_size": patch}
    ends = {"bos_token_id": 512, "eos_token_id": 513, "pad_token_id": 513}
    if narrow % heads:
        text["num_attention_heads"] = heads * 2 // 3
    torch.manual_seed(0)
    config = CLIPConfig(
        text_config={**text, **block, **ends, "vocab_size": 514},
        vision_config={**vision, **block, **sight},
    )
    CLIPModel(config).save_pretrained(folder)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(f"{each}</w>" for each in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={word: k for k, word in enumerate(words)}, merges=[])
    cut = {"height": side, "width": side}
    pictures = CLIPImageProcessor(size={"shortest_edge": side}, crop_size=cut)
    CLIPProcessor(pictures, tokenizer).save_pretrained(folder)


def write_pictures(settings: Settings, folder: Path) -> None:
    """PNG files under numbers of one length, so that every order of names is the same."""
    folder.mkdir()
    if settings.images is None:
        stream = torch_stream(0, "benchmark")
        shape = (settings.count, 3, 64, 64)
        pixels = torch.randint(0, 256, shape, generator=stream, dtype=torch.uint8)
    else:
        pixels = read(settings.images).colour().images[: settings.count]
    for number, image in enumerate(pixels):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{number:06d}.png")


if __name__ == "__main__":
    main(tyro.cli(Settings))
