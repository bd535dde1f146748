"""eta-grid, interpolate and invert, on the shipped model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from marmor.base.errors import UserError
from marmor.base.pixels import to_bytes
from marmor.cli import main
from marmor.data import Noises, read_picture
from marmor.recipes.exploring import Alphas, check_ways, from_noises, noise_of, noises_of
from marmor.recipes.models import load_generator
from marmor.recipes.pixel_errors import squared_error

MODEL = "pretrained:digits"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0:1:0.1", [i / 10 for i in range(11)]),
        ("0.2:0.8:0.3", [0.2, 0.5, 0.8]),
        ("0:1:0.4", [0, 0.4, 0.8]),
    ],
)
def test_alphas(text: str, values: list[float]) -> None:
    assert Alphas.parse(text).values() == pytest.approx(values)


@pytest.mark.parametrize("text", ["0:1", "a:b:c", "1:0:0.1", "0:2:0.1", "0:1:0", "0:1:2"])
def test_alphas_that_go_nowhere_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="for example"):
        Alphas.parse(text)


def test_unknown_ways_are_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="slerp"):
        check_ways("slerp,slrp")


def test_a_noise_is_a_seed_or_a_file(tmp_path: Path) -> None:
    generator = load_generator(MODEL)
    drawn = noise_of("3", generator)
    torch.save(drawn, tmp_path / "00.pt")
    assert torch.equal(noise_of(str(tmp_path / "00.pt"), generator), drawn)
    assert not torch.equal(noise_of("4", generator), drawn)
    torch.save(drawn[:, :20, :20], tmp_path / "00.pt")
    with pytest.raises(UserError, match="20 × 20"):
        noise_of(str(tmp_path / "00.pt"), generator)


def test_an_image_depends_on_its_own_noise_only() -> None:
    generator = load_generator(MODEL)
    three = noises_of(None, 3, generator)
    last = Noises(three.names[2:], three.values[2:])
    whole = from_noises(generator, three, "7", 0, "fp32")
    assert torch.equal(from_noises(generator, last, "7", 0, "fp32")[0], whole[2])


def test_the_eta_grid_has_five_rows_and_the_noises_as_columns(tmp_path: Path) -> None:
    out = tmp_path / "grid.png"
    words = ["eta-grid", MODEL, "--columns", "2", "--class", "3", "--steps", "4", "--out", str(out)]
    main(words)
    first = out.read_bytes()
    main(words)
    assert out.read_bytes() == first
    width, height = Image.open(out).size
    assert height > 5 * 112 > 2 * 112 < width


def test_an_eta_grid_of_given_noises_shows_them_all(tmp_path: Path) -> None:
    generator = load_generator(MODEL)
    assert len(noises_of(None, None, generator).names) == 4
    for seed in range(6):
        torch.save(noise_of(str(seed), generator), tmp_path / f"{seed:02d}.pt")
    assert len(noises_of(tmp_path, None, generator).names) == 6
    assert noises_of(tmp_path, 2, generator).names == ("00", "01")


def test_interpolation_is_one_strip_above_the_other(tmp_path: Path) -> None:
    out = tmp_path / "way.png"
    words = f"interpolate {MODEL} --from 0 --to 1 --class 5 --alphas 0:1:0.5 --steps 4"
    main([*words.split(), "--out", str(out)])
    sheet = np.array(Image.open(out))
    upper, lower = sheet[: len(sheet) // 2], sheet[len(sheet) // 2 :]
    # The ends are the same in both; half-way they differ.
    side = 112
    assert np.array_equal(upper[6 : 6 + side, 6 : 6 + side], lower[6 : 6 + side, 6 : 6 + side])
    assert not np.array_equal(upper[6 : 6 + side], lower[6 : 6 + side])


def test_inversion_comes_back_and_writes_noises_that_draw_the_images(tmp_path: Path) -> None:
    generator = load_generator(MODEL)
    (tmp_path / "images").mkdir()
    for name in ("3_001", "8_001"):
        noise = Noises(("x",), noise_of(str(len(name)), generator)[None])
        image = to_bytes(from_noises(generator, noise, name[0], 0, "fp32"))[0]
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / "images" / f"{name}.png")

    def error(steps: int, corrections: int) -> float:
        out = tmp_path / f"{steps}-{corrections}"
        words = f"invert {MODEL} --steps {steps} --corrections {corrections}"
        main([*words.split(), "--images", str(tmp_path / "images"), "--out", str(out)])
        assert load_file(out / "3_001.safetensors")["noise"].shape == (3, 28, 28)
        assert (out / "inversion.png").is_file()
        rows = (out / "inversion.csv").read_text().split()
        return float(rows[1].split(",")[1])

    few, many, corrected = error(10, 0), error(60, 0), error(20, 8)
    assert many < few / 3
    assert corrected < few / 3
    # Whoever takes the written noise and draws from it gets the image.
    how = replace(generator.drawing, solver="ddim", steps=60, guidance=1.0, clip=None)
    plain = replace(generator, drawing=how)
    noise = Noises(("x",), noise_of(str(tmp_path / "60-0" / "3_001.safetensors"), plain)[None])
    back = to_bytes(from_noises(plain, noise, "3", 0, "fp32"))[0]
    image = read_picture(tmp_path / "images" / "3_001.png")
    assert squared_error(back, image) == pytest.approx(many, abs=0.01)


def test_wrong_wishes_are_one_sentence_and_status_2(tmp_path: Path, capsys) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (28, 28)).save(tmp_path / "images" / "3_001.png")
    torch.save(torch.randn(3, 20, 20), tmp_path / "small.pt")
    invert = f"invert {MODEL} --images {tmp_path / 'images'} --out {tmp_path / 'out'}"
    way = f"interpolate {MODEL} --from 0 --out {tmp_path / 'out'} --to"
    cases = [
        (f"{invert} --steps 0", "at least 1"),
        (f"{invert} --corrections -1", "at least 0"),
        (f"invert {MODEL} --images digits --out {tmp_path / 'out'}", "has 1 channels"),
        (f"{way} {tmp_path / 'small.pt'}", "has 20 × 20 places"),
        (f"{way} 1 --class 11", "class '11'"),
        (f"{way} 1 --method nlerp", "method 'nlerp'"),
        (f"eta-grid {MODEL} --columns 0", "at least 1"),
        (f"eta-grid {MODEL} --noises {tmp_path / 'none'}", "not a folder"),
    ]
    for words, wrong in cases:
        with pytest.raises(SystemExit) as stopped:
            main(words.split())
        error = capsys.readouterr().err
        assert stopped.value.code == 2, words
        assert wrong in error, (words, error)
        assert len(error.strip().splitlines()) == 1
        assert not (tmp_path / "out").exists()
