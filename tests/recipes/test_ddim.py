"""`marmor ddim`: other people's U-Nets and noises give the images that should come out."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from marmor.base.errors import UserError
from marmor.cli import main
from marmor.networks.unet import Shape, UNet
from marmor.recipes.conventions import Conventions
from marmor.recipes.ddim import DdimSettings, run, stepped, trajectory

SMALL = Shape(channels=3, widths=(64, 64), attention=(False, True), blocks=1)
FOUR = list(itertools.product((1, 0), ("t", "t-1")))


def random_unet(shape: Shape) -> UNet:
    torch.manual_seed(0)
    network = UNet(shape).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
            parameter.normal_(0, 1 / fan_in**0.5)
    return network


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """UNet.pt with seeded random weights, and noises 00 … 02 of 16 × 16."""
    folder = tmp_path_factory.mktemp("course")
    torch.save(random_unet(SMALL).state_dict(), folder / "UNet.pt")
    (folder / "noises").mkdir()
    for index in range(3):
        stream = torch.Generator().manual_seed(index)
        noise = torch.randn(1, 3, 16, 16, generator=stream)
        torch.save(noise, folder / "noises" / f"{index:02d}.pt")
    return folder


@torch.no_grad()
def by_the_formulas(
    network: Callable[[Tensor, Tensor], Tensor],
    noise: Tensor,
    steps: int,
    how: Conventions,
) -> Tensor:
    """DDIM at eta 0 as a script writes it (Song et al. 2021, eq. 12)."""
    betas = np.linspace(1e-4, 2e-2, 1000, dtype=np.float64)
    alphas_cumprod = np.cumprod(1 - betas)
    before = np.concatenate([[1.0], alphas_cumprod])  # alphas_cumprod[t-1], 1 at t = 0

    def power(t: int) -> float:
        return float(alphas_cumprod[t] if how.level == "t" else before[t])

    visited = list(range(how.first, 1000, 1000 // steps))[:steps]
    end = 1.0 if how.end == "one" else float(alphas_cumprod[0])
    x = noise
    for i in reversed(range(len(visited))):
        t = visited[i]
        a, a_next = power(t), power(visited[i - 1]) if i > 0 else end
        e = network(x, torch.full((len(x),), float(t)))
        image = (x - (1 - a) ** 0.5 * e) / a**0.5
        if how.clip:
            image = image.clamp(-1, 1)
        x = a_next**0.5 * image + (1 - a_next) ** 0.5 * e
    return x


def settings(files: Path, out: Path | None, **changes) -> DdimSettings:
    return DdimSettings(files / "UNet.pt", files / "noises", out, **changes)


def pixels(path: Path) -> np.ndarray:
    return np.array(Image.open(path), dtype=np.float64)


def is_plain(how: Conventions) -> bool:
    """Whether a script does at its last step what marmor does.

    Where that step ends at the level it starts from, marmor leaves it out; a script still clips there, or,
    past the clean step 0 of alphas_cumprod[-1] = 1, adds noise again.
    """
    if (how.first, how.level) == (0, "t-1"):
        return how.end == "one" and not how.clip
    lowest_is_first = (how.first, how.level) in ((0, "t"), (1, "t-1"))
    return not (lowest_is_first and how.end == "first" and how.clip)


EVERY = itertools.product(FOUR, ("one", "first"), (False, True))
WAYS = [Conventions(*way, end, clip) for way, end, clip in EVERY]


@pytest.mark.parametrize("how", filter(is_plain, WAYS))
def test_fifty_steps_equal_the_formulas_under_all_conventions(files: Path, how) -> None:
    noise = torch.load(files / "noises" / "00.pt", weights_only=True)
    network = random_unet(SMALL)
    expected = by_the_formulas(lambda x, t: network(x, t, {}), noise, 50, how)
    assert expected.std() > 0.1
    assert torch.allclose(finished(files / "UNet.pt", noise, how), expected, atol=1e-4)


def finished(unet: Path, noise: Tensor, how: Conventions) -> Tensor:
    """What `marmor ddim` reaches in 50 steps, before it becomes bytes."""
    generator, _ = stepped(str(unet))
    asked = DdimSettings(unet, unet, how=how)
    *_, state = trajectory(generator, noise, ["00"], {}, asked)
    return state.x


@pytest.mark.slow
@pytest.mark.parametrize(("first", "level"), FOUR)
def test_the_course_layout_at_64_equals_the_formulas(
    first, level, tmp_path: Path, plain_unet
) -> None:
    """113.7 million weights against a network and a loop written plainly, without a module of marmor's.

    To 1e-4 of the spread of values, which is in the hundreds: random weights remove no noise, and DDIM
    divides by the little signal of its first step.
    """
    widths, attention = (128, 128, 256, 256, 512, 512), (False,) * 4 + (True, False)
    state = random_unet(Shape(3, widths, attention)).state_dict()
    torch.save(state, tmp_path / "UNet.pt")
    noise = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(7))
    how = Conventions(first=first, level=level)
    expected = by_the_formulas(lambda x, t: plain_unet(state, x, t), noise, 50, how)
    spread = expected.std()
    assert 0.1 < spread < 1000
    found = finished(tmp_path / "UNet.pt", noise, how)
    assert torch.allclose(found / spread, expected / spread, rtol=0, atol=1e-4)


def test_files_are_named_after_their_noises_and_repeat_byte_for_byte(
    files: Path, tmp_path: Path
) -> None:
    for out in (tmp_path / "a", tmp_path / "b"):
        run(settings(files, out, steps=5))
    names = sorted(path.name for path in (tmp_path / "a").glob("*.png"))
    assert names == ["00.png", "01.png", "02.png"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_an_image_depends_on_neither_batch_nor_neighbours(
    files: Path, tmp_path: Path, eta: float
) -> None:
    """To one grey level for another batch size; exactly where only the neighbours change."""
    alone = tmp_path / "one"
    alone.mkdir()
    (alone / "02.pt").write_bytes((files / "noises" / "02.pt").read_bytes())
    run(settings(files, tmp_path / "a", steps=5, eta=eta))
    run(settings(files, tmp_path / "b", steps=5, eta=eta, batch=3))
    run(DdimSettings(files / "UNet.pt", alone, tmp_path / "c", steps=5, eta=eta))
    whole, batched, single = (pixels(tmp_path / out / "02.png") for out in "abc")
    assert np.abs(whole - batched).max() <= 1
    assert np.array_equal(whole, single)


def test_the_way_of_saving_changes_the_range(files: Path, tmp_path: Path) -> None:
    run(settings(files, tmp_path / "a", steps=5, how=Conventions(save_range="per-image")))
    for path in (tmp_path / "a").glob("*.png"):
        assert (pixels(path).min(), pixels(path).max()) == (0, 255)


def test_errors_against_true_images_are_told_and_written(
    files: Path, tmp_path: Path, capsys
) -> None:
    run(settings(files, tmp_path / "truth", steps=5))
    changed = pixels(tmp_path / "truth" / "01.png")
    changed[:8] = np.where(changed[:8] < 128, changed[:8] + 10, changed[:8] - 10)
    Image.fromarray(changed.astype(np.uint8)).save(tmp_path / "truth" / "01.png")
    run(settings(files, tmp_path / "out", steps=5, truth=tmp_path / "truth"))
    lines = (tmp_path / "out" / "mse.csv").read_text().split()
    assert lines[0] == "image,mse"
    values = [float(line.split(",")[1]) for line in lines[1:]]
    assert values == pytest.approx([0.0, 50.0, 0.0, 50 / 3])
    assert "50.0000" in capsys.readouterr().out


def test_the_search_finds_how_the_truth_was_made(files: Path, tmp_path: Path, capsys) -> None:
    how = Conventions(first=0, level="t-1", save_range="per-image")
    run(settings(files, tmp_path / "truth", steps=10, how=how))
    capsys.readouterr()
    run(settings(files, None, steps=10, truth=tmp_path / "truth", search=True))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    rows = [line for line in lines if line and line[0].replace(".", "").isdigit()]
    assert len(rows) == 32
    assert rows[0][0] == "0.0000"
    assert [rows[0][i] for i in (1, 2, 4, 5)] == ["0", "t-1", "False", "per-image"]
    assert [float(row[0]) for row in rows] == sorted(float(row[0]) for row in rows)
    assert not list(tmp_path.glob("*.png"))


def test_interrupted_work_goes_on_and_other_work_is_refused(files: Path, tmp_path: Path) -> None:
    run(settings(files, tmp_path, steps=5))
    whole = {path.name: path.read_bytes() for path in tmp_path.glob("*.png")}
    (tmp_path / "01.png").unlink()
    stamp = (tmp_path / "00.png").stat().st_mtime_ns
    run(settings(files, tmp_path, steps=5))
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.png")} == whole
    assert (tmp_path / "00.png").stat().st_mtime_ns == stamp
    with pytest.raises(UserError, match="made otherwise"):
        run(settings(files, tmp_path, steps=6))
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "01.png").write_bytes(whole["01.png"])
    with pytest.raises(UserError, match="did not make"):
        run(settings(files, tmp_path / "strange", steps=5))
    assert json.loads((tmp_path / "ddim.json").read_text())["steps"] == 5


def test_times_by_hand() -> None:
    assert Conventions(1, "t").times(5, 1000) == [0.802, 0.602, 0.402, 0.202, 0.002, 0.0]
    assert Conventions(0, "t").times(5, 1000) == [0.801, 0.601, 0.401, 0.201, 0.001, 0.0]
    assert Conventions(1, "t-1").times(5, 1000) == [0.801, 0.601, 0.401, 0.201, 0.001, 0.0]
    # Step 0 holds alphas_cumprod[-1], which is 1: nothing is left to do there.
    assert Conventions(0, "t-1").times(5, 1000) == [0.8, 0.6, 0.4, 0.2, 0.0]
    assert Conventions(1, "t", "first").times(5, 1000)[-2:] == [0.002, 0.001]
    assert Conventions(0, "t", "first").times(5, 1000)[-2:] == [0.201, 0.001]


def test_the_flags_are_the_published_words(files: Path, tmp_path: Path) -> None:
    words = f"ddim --unet {files / 'UNet.pt'} --noises {files / 'noises'} --steps 4 --eta 0"
    main(f"{words} --out {tmp_path / 'a'} --first 0 --clip --save-range per-image".split())
    main(f"{words} --out {tmp_path / 'b'} --first 1 --no-clip --save-range fixed".split())
    told = [json.loads((tmp_path / out / "ddim.json").read_text()) for out in "ab"]
    assert [(how["first"], how["clip"], how["save_range"]) for how in told] == [
        (0, True, "per-image"),
        (1, False, "fixed"),
    ]


def test_wrong_wishes_are_one_sentence_and_status_2(files: Path, tmp_path: Path, capsys) -> None:
    plain = ["ddim", "--unet", str(files / "UNet.pt"), "--noises", str(files / "noises")]
    grey = tmp_path / "grey"
    grey.mkdir()
    torch.save(torch.randn(1, 1, 16, 16), grey / "00.pt")
    odd = tmp_path / "odd"
    odd.mkdir()
    torch.save(torch.randn(1, 3, 15, 16), odd / "00.pt")
    short = tmp_path / "short.pt"
    short.write_bytes((files / "UNet.pt").read_bytes()[:5000])
    lacking = random_unet(SMALL).state_dict()
    del lacking["up1.resblocks.conv2.bias"]
    torch.save({"module." + name: value for name, value in lacking.items()}, tmp_path / "lack.pt")
    out = ["--out", str(tmp_path / "out")]
    cases = [
        (plain, "--out is missing"),
        ([*plain, *out, "--steps", "0"], "between 1 and 1000"),
        ([*plain, *out, "--steps", "1000"], "take fewer steps or --first 0"),
        ([*plain, *out, "--steps", "1", "--first", "0", "--level", "t-1"], "never leaves the end"),
        ([*plain, *out, "--class", "3"], "class '3'"),
        ([*plain, *out, "--eta", "2"], "between 0 and 1"),
        ([*plain, *out, "--batch", "0"], "at least 1"),
        ([*plain, "--search"], "--truth"),
        ([*plain, *out, "--truth", str(tmp_path / "none")], "is missing"),
        ([*plain[:3], "--noises", str(grey), *out], "has 1 channels"),
        ([*plain[:3], "--noises", str(odd), *out], "multiples of 2"),
        (["ddim", "--unet", str(short), *plain[3:], *out], "cut short"),
        (["ddim", "--unet", str(tmp_path / "lack.pt"), *plain[3:], *out], "conv2.bias' is missing"),
        (["ddim", "--unet", "pretrained:digits", *plain[3:], *out], "does not count time in steps"),
    ]
    for words, wrong in cases:
        with pytest.raises(SystemExit) as stopped:
            main(words)
        error = capsys.readouterr().err
        assert stopped.value.code == 2, words
        assert wrong in error, (words, error)
        assert len(error.strip().splitlines()) == 1
        assert not (tmp_path / "out").exists()
