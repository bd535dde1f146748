"""Commands to begin with, and for what is there already."""

from pathlib import Path

from tyro.conf import Positional

from marmor.base.progress import console
from marmor.recipes import demo as demo_recipe
from marmor.recipes import running


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


def resume(run: Positional[Path]) -> None:
    """Go on with an interrupted run to the end of its budget.

    Example: marmor resume runs/first

    Args:
        run: the run folder.
    """
    running.resume(run)
