"""Images a second of DCGAN's training against a plain PyTorch loop of the same networks, in one run.

    python benchmarks/gan.py

Both train the pair of `marmor train gan-faces --objective dcgan` on colour images of 64×64, batches of 128,
in turn. The plain loop is the tutorial's way: a DataLoader over float tensors, a sigmoid and binary
cross-entropy, the critic on real and then on drawn images, then the generator; the layout of memory and the
loop of Adam are torch's usual ones, where marmor has channels last and all weights in one pass. The tutorial
knows fp32 only; where the processor has bf16, marmor is timed in it too, against that and against it with
autocast.
Prints and writes medians and ratios.
"""

import tempfile
import time
from pathlib import Path

import torch
import tyro
from torch import nn
from torch.optim import Adam
from torch.utils.data import DataLoader, TensorDataset

from marmor.base.files import write_json
from marmor.base.pixels import to_unit
from marmor.data import ImageSet
from marmor.recipes.contest import Contest, Players
from marmor.recipes.gan_designs import GANS
from marmor.training import Budget, LoopSettings, Precision, RunFolder, autocast, fit, resolve
from turns import in_turn

SHAPE = (3, 64, 64)
DESIGN = GANS["dcgan"]
BATCH = DESIGN.batch_size
CPU = torch.device("cpu")
FORMATS: tuple[tuple[Precision, Precision], ...] = (
    ("fp32", "fp32"),
    ("bf16", "fp32"),
    ("bf16", "bf16"),
)
"""Of marmor and of the plain loop."""


def main(
    images: int = 2000, steps: int = 5, runs: int = 5, out: Path = Path("runs/benchmark-gan")
) -> None:
    """Times both and writes gan.json.

    Args:
        images: of the data, random pixels; what they show does not change the speed.
        steps: of one timed piece.
        runs: pairs of pieces; medians are reported.
        out: folder for the result.
    """
    data = random_images(images)
    plain = PlainLoop(data)
    pairs = FORMATS if resolve("auto", CPU) == "bf16" else FORMATS[:1]
    result: dict[str, float | int] = {"images": images, "steps": steps}
    for own_format, plain_format in pairs:
        own, peer = in_turn(
            runs,
            lambda given=own_format: marmor_loop(data, steps, given),
            lambda given=plain_format: plain.run(steps, given),
        )
        name = f"{own_format}.against.{plain_format}"
        result |= {
            f"{name}.images_per_second": BATCH * steps / own,
            f"{name}.plain.images_per_second": BATCH * steps / peer,
            f"{name}.ratio": peer / own,
        }
    write_json(out / "gan.json", result)
    for name, value in result.items():
        print(f"{name}: {value:.4g}")


def random_images(count: int) -> ImageSet:
    generator = torch.Generator().manual_seed(0)
    return ImageSet(torch.randint(256, (count, *SHAPE), generator=generator, dtype=torch.uint8))


def players() -> Players:
    torch.manual_seed(0)
    return Players(DESIGN.generator(SHAPE, 0), DESIGN.critic(SHAPE, 0))


def marmor_loop(data: ImageSet, steps: int, precision: Precision) -> float:
    """Seconds of ``steps`` steps in marmor's loop, without its probes and its last checkpoint."""
    game = Contest(players(), DESIGN, data, BATCH, seed=0)
    loop = LoopSettings(
        Budget(steps=steps), ema=DESIGN.ema, precision=precision, clip_norm=float("inf")
    )
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder))
        fit(game, run, loop, lambda share, record: None, begin=game.begin)
        return run.history()[-1]["seconds"]


class PlainLoop:
    """What a script would do."""

    def __init__(self, data: ImageSet) -> None:
        self.loader = DataLoader(
            TensorDataset(to_unit(data.images)), BATCH, shuffle=True, drop_last=True
        )

    def run(self, steps: int, precision: Precision) -> float:
        """Seconds of ``steps`` steps."""
        pair = players().to(memory_format=torch.contiguous_format)
        generator, critic = pair.generator, pair.critic
        judge = nn.BCEWithLogitsLoss()
        of_critic, of_generator = (
            Adam(each.parameters(), lr=2e-4, betas=(0.5, 0.999)) for each in (critic, generator)
        )
        real, fake = torch.ones(BATCH), torch.zeros(BATCH)
        batches = iter(self.loader)
        began = time.perf_counter()
        for step in range(steps):
            if step and step % len(self.loader) == 0:
                batches = iter(self.loader)
            [images] = next(batches)
            with autocast(resolve(precision, CPU), CPU):
                critic.zero_grad()
                judge(critic(images), real).backward()
                drawn = generator(torch.randn(BATCH, generator.latent))
                judge(critic(drawn.detach()), fake).backward()
                of_critic.step()
                generator.zero_grad()
                judge(critic(drawn), real).backward()
                of_generator.step()
        return time.perf_counter() - began


if __name__ == "__main__":
    tyro.cli(main)
