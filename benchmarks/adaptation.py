"""Images a second of DANN against a plain PyTorch loop of the same networks, in one run, and memory.

    python benchmarks/adaptation.py

Both train the classifier of `marmor adapt` and DANN's domain classifier, batches of 128 + 128 colour
images 28×28, without augmentation, one after the other in pairs so that both see the same machine.
The plain loop is what a script would do: a DataLoader over float tensors, a reversal layer, SGD.
Prints and writes medians and ratios, for fp32 and, where the processor has it, for bf16.
"""

import multiprocessing
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
import tyro
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from marmor.adaptation import adversarial_weight, annealed_rate, reverse_gradient
from marmor.base.files import write_json
from marmor.base.pixels import to_unit
from marmor.data import ImageSet
from marmor.networks.judges import DigitJudge
from marmor.recipes import adapting
from marmor.recipes.pairs import Pair, Truth
from marmor.recipes.plans import PLANS
from marmor.training import Budget, LoopSettings, Precision, RunFolder, autocast, fit, resolve
from turns import in_turn

CLASSES = 10


def main(
    images: int = 60_000,
    target: int = 7_291,
    steps: int = 60,
    runs: int = 5,
    out: Path = Path("runs/benchmark-adaptation"),
) -> None:
    """Times both and writes adaptation.json.

    Args:
        images: of the source, random pixels; what they show does not change the speed.
        target: images of the target.
        steps: of one timed piece.
        runs: pairs of pieces; medians are reported.
        out: folder for the result.
    """
    result: dict[str, float | int] = {"images": images, "target": target, "steps": steps}
    formats: list[Precision] = ["fp32"]
    if resolve("auto", torch.device("cpu")) == "bf16":
        formats.append("bf16")
    # First: a new process inherits the peak of the one that starts it.
    for name, loop in (("", False), ("plain.", True)):
        result[f"{name}memory.gigabytes"] = alone(loop, images, target, formats[-1])
    pair = random_pair(images, target)
    plain = PlainLoop(pair)
    for number_format in formats:
        own, peer = in_turn(
            runs,
            lambda given=number_format: marmor_loop(pair, steps, given),
            lambda given=number_format: plain.run(steps, given),
        )
        seen = 2 * adapting.BATCH * steps
        result |= {
            f"{number_format}.images_per_second": seen / own,
            f"{number_format}.plain.images_per_second": seen / peer,
            f"{number_format}.ratio": peer / own,
        }
    write_json(out / "adaptation.json", result)
    for name, value in result.items():
        print(f"{name}: {value:.4g}")


def alone(plain: bool, images: int, target: int, precision: Precision) -> float:
    """Gigabytes that one of the loops takes at most, data included, in a process of its own."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, fresh) as pool:
        return pool.submit(peak, plain, images, target, precision).result()


def peak(plain: bool, images: int, target: int, precision: Precision) -> float:
    """The same of this process, which runs twenty steps."""
    pair = random_pair(images, target)
    if plain:
        PlainLoop(pair).run(20, precision)
    else:
        marmor_loop(pair, 20, precision)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def random_pair(images: int, target: int) -> Pair:
    generator = torch.Generator().manual_seed(0)

    def pixels(count: int) -> torch.Tensor:
        return torch.randint(256, (count, 3, 28, 28), generator=generator, dtype=torch.uint8)

    labels = {"class": torch.randint(CLASSES, (images,), generator=generator)}
    source = ImageSet(pixels(images), labels, {"class": tuple("0123456789")})
    hidden = ImageSet(pixels(target))
    return Pair(
        source,
        source.take(range(100)),
        hidden,
        hidden.take(range(100)),
        Truth(None, None, None),
        (),
    )


def marmor_loop(pair: Pair, steps: int, precision: Precision) -> float:
    """Seconds of ``steps`` steps in marmor's loop, without its probes and its last checkpoint."""
    torch.manual_seed(0)
    plan = PLANS["dann"]
    classifier = DigitJudge(CLASSES, 3)
    learner = adapting.Learner(classifier, plan.method.opponent(classifier.feature_size, CLASSES))
    method = adapting.Adaptation(learner, pair, plan, steps, seed=0)
    loop = LoopSettings(
        Budget(steps=steps), ema=adapting.EMA, precision=precision, clip_norm=plan.clip_norm
    )
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder))
        fit(method, run, loop, lambda share, record: None, begin=method.begin)
        return run.history()[-1]["seconds"]


class PlainLoop:
    """What a script would do."""

    def __init__(self, pair: Pair) -> None:
        source = TensorDataset(to_unit(pair.source.images), pair.source.labels["class"])
        target = TensorDataset(to_unit(pair.target.images))
        self.source = DataLoader(source, adapting.BATCH, shuffle=True, drop_last=True)
        self.target = DataLoader(target, adapting.BATCH, shuffle=True, drop_last=True)

    def run(self, steps: int, precision: Precision) -> float:
        """Seconds of ``steps`` steps."""
        torch.manual_seed(0)
        network = DigitJudge(CLASSES, 3)
        domains = nn.Sequential(nn.Linear(network.feature_size, 100), nn.ReLU(), nn.Linear(100, 1))
        parameters = [*network.parameters(), *domains.parameters()]
        optimizer = torch.optim.SGD(parameters, lr=0.01, momentum=0.9)
        sources, targets = iter(self.source), iter(self.target)
        truth = torch.cat([torch.zeros(adapting.BATCH), torch.ones(adapting.BATCH)])
        began = time.perf_counter()
        for step in range(steps):
            if step and step % len(self.source) == 0:
                sources = iter(self.source)
            if step and step % len(self.target) == 0:
                targets = iter(self.target)
            (x, y), [z] = next(sources), next(targets)
            for group in optimizer.param_groups:
                group["lr"] = 0.01 * annealed_rate(step / steps)
            with autocast(resolve(precision, torch.device("cpu")), torch.device("cpu")):
                fx, fz = network.features(x), network.features(z)
                both = reverse_gradient(torch.cat([fx, fz]), adversarial_weight(step / steps))
                labelled = F.cross_entropy(network.logits(fx), y)
                loss = labelled + 2 * F.binary_cross_entropy_with_logits(domains(both)[:, 0], truth)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return time.perf_counter() - began


if __name__ == "__main__":
    tyro.cli(main)
