"""Progress where there is no terminal: lines, with the time left."""

import pytest

from marmor.base import progress


@pytest.mark.parametrize(("begins", "left"), [(0.0, "90 s left"), (0.5, "40 s left")])
def test_the_time_left_follows_from_what_this_run_has_done(
    begins: float, left: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A resumed run begins in the middle, and was not that fast."""
    clock = iter([0.0, 1.0, 6.0, 11.0, 12.0])  # begun, three calls, done
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(progress, "LINE_SECONDS", 10)
    with progress.progress_bar("work") as bar:
        for done in (0.0, 0.05, 0.1):
            bar(begins + done)
    told = capsys.readouterr().out
    assert f"{100 * (begins + 0.1):.0f} %, {left}" in told
    assert told.count("left") == 1
