"""Another budget for a run that has begun: `marmor resume RUN --minutes 150`."""

from collections.abc import Iterator
from contextlib import contextmanager

from marmor.base.errors import UserError
from marmor.training import Budget, RunFolder


@contextmanager
def lengthened(run: RunFolder, budget: Budget, beside: float = 0.0) -> Iterator[None]:
    """Gives a run another budget, of all it has trained and will train, instead of its own.

    The learning rate then is what it would be at that share of the new budget, so after a run's end it rises
    once more. The settings in config.json keep each earlier budget under ``"budgets"``, and up to which step
    it held. ``beside``: seconds of training that the run's own log does not count. Where the run then cannot
    be gone on with, its budget is put back. Raises UserError where the recipe does not count in that unit, or
    as much has been trained.
    """
    settings = run.config["settings"]
    asked = settings["asked"]
    [unit] = [name for name, value in vars(budget).items() if value is not None]
    units = [name for name in vars(budget) if name in asked]
    if unit not in units:
        raise UserError(
            f"runs of the recipe {run.recipe!r} count their budget in {' or '.join(units)}, "
            f"so --{unit} cannot be told."
        )
    history = run.history()
    at = history[-1] if history else {"step": 0, "images": 0, "seconds": 0.0}
    seconds = at["seconds"] + beside
    trained = at["step"], at["images"], seconds
    if budget.progress(*trained, settings["data"]["count"]) >= 1:
        raise UserError(
            f"{run.path} has trained for {seconds / 60:.1f} minutes ({at['step']:,} steps, "
            f"{at['images']:,} images) already; name a budget above that."
        )
    earlier = {"budget": {name: asked[name] for name in units}, "until_step": at["step"]}
    longer = {
        "asked": {**asked, **{name: getattr(budget, name) for name in units}},
        "budgets": [*settings.get("budgets", []), earlier],
    }
    run.change_settings({**settings, **longer})
    try:
        yield
    except UserError:
        if run.history() == history:  # nothing was trained
            now = run.config["settings"]
            before = {name: settings[name] for name in longer if name in settings}
            run.change_settings({k: v for k, v in now.items() if k not in longer} | before)
        raise
