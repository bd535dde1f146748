"""The report in a real browser: wide and narrow, light and dark; nothing is cut off on a phone."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from marmor.recipes.reporting import report

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
MEASURE = """<script>addEventListener('load', () => { document.title = JSON.stringify({
  width: document.documentElement.scrollWidth, room: innerWidth,
  broken: [...document.images].filter(i => !i.naturalWidth || !i.alt).length,
  images: document.images.length}) })</script></head>"""


def browse(page: Path, folder: Path, *options: str) -> str:
    assert BROWSER is not None
    quiet = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run")
    command = [BROWSER, *quiet, f"--user-data-dir={folder / 'profile'}", *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs chromium")
def test_the_report_opens_wide_and_narrow_light_and_dark(
    run: Path, judge_run: Path, tmp_path: Path
) -> None:
    page = report(run, str(judge_run), per_class=10)
    shades = {}
    for name, scheme in (("light", 1), ("dark", 0)):
        picture = tmp_path / f"{name}.png"
        browse(
            page,
            tmp_path,
            "--window-size=1200,3000",
            f"--blink-settings=preferredColorScheme={scheme}",
            f"--screenshot={picture}",
        )
        pixels = np.asarray(Image.open(picture).convert("L"))
        assert pixels.shape == (3000, 1200)
        assert pixels.std() > 10
        shades[name] = np.median(pixels)
    assert shades["dark"] < 80 < 200 < shades["light"]

    measured = tmp_path / "measured.html"
    measured.write_text(page.read_text().replace("</head>", MEASURE))
    for width in (1200, 500):
        dom = browse(measured, tmp_path, f"--window-size={width},900", "--dump-dom")
        found = re.search(r"<title>(\{.*?\})</title>", dom)
        assert found is not None
        facts = json.loads(found[1].replace("&quot;", '"'))
        assert facts["images"] > 5
        assert facts["broken"] == 0
        assert facts["width"] <= facts["room"]
