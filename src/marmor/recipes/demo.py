"""The whole way on embedded data: train, draw, judge, report."""

from pathlib import Path

from marmor.base.progress import console
from marmor.recipes import digits
from marmor.recipes.folders import PRETRAINED, pretrained
from marmor.recipes.models import load_generator
from marmor.recipes.reporting import report
from marmor.training import RunFolder

SHIPPED = "digits"


def demo(minutes: float, run: Path) -> Path:
    """Trains on MNIST-M made from embedded digits and photographs; returns the page.

    A run that is there already is taken up where it stands.
    """
    beside = PRETRAINED + SHIPPED if SHIPPED in pretrained() else None
    if beside is not None:
        load_generator(beside)  # what is wrong with it shows now, not after the training
    if (run / "config.json").is_file():
        console.print(f"going on with {run}, to the end of the budget it was started with")
        digits.resume(RunFolder.open(run, digits.RECIPE))
    else:
        digits.train(digits.DigitsSettings(data="mnist-m", run=run, minutes=minutes))
    return report(run, beside=beside)
