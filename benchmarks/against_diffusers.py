"""Images a second against diffusers' DDIMPipeline: the same weights, steps and batch, in one run.

A U-Net with random weights (its speed does not depend on them) is written as a folder of diffusers and
drawn from by its pipeline and by marmor in turn, so that both see the same machine.
"""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from marmor.diffusion import Denoiser, NoisePrediction, linear_betas
from marmor.networks.steps import InSteps
from marmor.networks.unet import UNet
from marmor.recipes.asking import ask_classes
from marmor.recipes.denoising import DiffusionGenerator
from marmor.recipes.designs import Drawing, unet_shape
from marmor.recipes.drawing import draw
from marmor.recipes.hub import write_hub
from marmor.training import Precision, resolve
from turns import in_turn

TABLE = 1000
SIDE, IMAGES, STEPS = 64, 8, 10
"""One batch of the pipeline; marmor's threads share it."""
PAIRS = 7
"""Three were too few: their medians said 0.94 once where seven said 1.16."""


def compare() -> dict[str, float]:
    """Medians of PAIRS pairs of runs and their ratio, in fp32 and, where the processor has it, in bf16."""
    from diffusers.pipelines.ddim.pipeline_ddim import DDIMPipeline
    from diffusers.utils import logging

    logging.disable_progress_bar()
    ours = generator(SIDE, STEPS)
    each = -(-IMAGES // torch.get_num_threads())
    with tempfile.TemporaryDirectory() as folder:
        write_hub(ours, Path(folder) / "model")
        pipeline = DDIMPipeline.from_pretrained(Path(folder) / "model")
    pipeline.set_progress_bar_config(disable=True)

    def mine(precision: Precision) -> None:
        draw(ours, ask_classes(ours, IMAGES), 0, precision, batch=each)

    def theirs() -> None:
        pipeline(batch_size=IMAGES, num_inference_steps=STEPS, output_type="np")

    def theirs_bf16() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            theirs()

    result: dict[str, float] = {}
    pairs = {"fp32": (lambda: mine("fp32"), theirs)}
    if resolve("auto", torch.device("cpu")) == "bf16":
        pairs["bf16"] = (lambda: mine("bf16"), theirs_bf16)
    for name, pair in pairs.items():
        own, peer = in_turn(PAIRS, *(partial(seconds, each) for each in pair))
        result |= {
            f"diffusers.{name}.images_per_second": IMAGES / own,
            f"diffusers.{name}.peer.images_per_second": IMAGES / peer,
            f"diffusers.{name}.ratio": peer / own,
        }
    return result


def generator(side: int, steps: int) -> DiffusionGenerator:
    """A U-Net of the size that `marmor train faces --network unet` trains, with random weights."""
    torch.manual_seed(0)
    network = UNet(unet_shape((3, side, side), {}))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    denoiser = Denoiser(InSteps(network, TABLE), linear_betas(TABLE), NoisePrediction(), {})
    drawing = Drawing("ddim", steps, spacing="leading", guidance=1.0, start=1.0, clip=None)
    return DiffusionGenerator(
        denoiser.eval(), {}, (3, side, side), drawing, "random weights", network.multiple
    )


def seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
