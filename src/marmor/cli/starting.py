"""Commands to begin with, and for what is there already."""

from pathlib import Path

from tyro.conf import Positional

from marmor.base.progress import console
from marmor.recipes import demo as demo_recipe
from marmor.recipes import running
from marmor.training import Budget


def demo(minutes: float = 4.0, run: Path = Path("runs/demo")) -> None:
    """Train on embedded digits for a few minutes, draw, judge, and open-able report.

    Example: marmor demo --minutes 4

    Args:
        minutes: of training.
        run: the run folder to write.
    """
    page = demo_recipe.demo(minutes, run)
    console.print(f"open the report: {page}")


def list_(runs: Path = Path("runs")) -> None:
    """List recipes, embedded data, shipped weights and runs.

    Example: marmor list

    Args:
        runs: the folder whose runs are listed.
    """
    running.list_everything(runs)


def resume(
    run: Positional[Path],
    minutes: float | None = None,
    steps: int | None = None,
    images: int | None = None,
    epochs: float | None = None,
) -> None:
    """Go on with an interrupted run to the end of its budget, or with any to the end of a longer one.

    Example: marmor resume runs/first --minutes 30

    A longer budget counts what has been trained already. After a run's end its learning rate rises once
    more, to what it would be at that point of the longer budget.

    Args:
        run: the run folder.
        minutes: budget in minutes of training, from the first step on; one of minutes, steps, images, epochs.
        steps: budget in optimizer steps.
        images: budget in images seen.
        epochs: budget in passes over the data.
    """
    budget = None
    if any(each is not None for each in (steps, images, epochs, minutes)):
        budget = Budget(steps=steps, images=images, epochs=epochs, minutes=minutes)
    running.resume(run, budget)
