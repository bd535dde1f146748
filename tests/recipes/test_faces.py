"""`marmor train faces`: images without classes, from training to the page."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from marmor.cli import main
from marmor.data import read
from marmor.recipes.face_shares import face_shares
from marmor.recipes.models import load_generator

pytest.importorskip("dlib")


@pytest.fixture(scope="module", params=["uvit", "unet"])
def faces(request, tmp_path_factory) -> Path:
    """A few steps on the embedded faces at 16 × 16."""
    path = tmp_path_factory.mktemp("faces") / request.param
    words = f"train faces --run {path} --network {request.param} --size 16 --steps 3 --batch 4"
    main(words.split())
    return path


def test_a_run_of_faces_is_drawn_shown_and_resumed(faces: Path, tmp_path: Path, capsys) -> None:
    generator = load_generator(str(faces))
    assert generator.class_names == ()
    assert generator.image_shape == (1, 16, 16)
    main(f"sample {faces} --out {tmp_path / 'out'} --per-class 2".split())
    names = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert names == ["image_001.png", "image_002.png"]
    main(f"grid {faces} --columns 2 --out {tmp_path / 'grid.png'}".split())
    assert Image.open(tmp_path / "grid.png").size[0] > 2 * 16
    main(f"strip {faces} --class image --frames 3 --out {tmp_path / 'strip.png'}".split())
    main(f"resume {faces}".split())
    capsys.readouterr()
    main(f"report {faces} --per-class 9".split())
    figures = json.loads((faces / "summary.json").read_text())
    assert figures["faces.images"] == 9
    assert figures["faces.noise"] == 0
    page = (faces / "report.html").read_text()
    assert "one face found" in page
    assert "marmor train faces" in page


def test_only_the_unet_draws_other_sides_and_goes_to_diffusers(
    faces: Path, tmp_path: Path, capsys
) -> None:
    for index in range(2):
        torch.save(torch.randn(1, 1, 24, 24), tmp_path / f"{index}.pt")
    words = f"interpolate {faces} --from {tmp_path / '0.pt'} --to {tmp_path / '1.pt'} --steps 2"
    commands = [
        f"{words} --out {tmp_path / 'way.png'}",
        f"export {faces} --to diffusers {tmp_path / 'hub'}",
    ]
    for command in commands:
        if faces.name == "unet":
            main(command.split())
        else:
            with pytest.raises(SystemExit) as stopped:
                main(command.split())
            assert stopped.value.code == 2
            assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_networks_for_classes_are_refused(tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit):
        main(f"train faces --run {tmp_path / 'run'} --network context-unet".split())
    assert "draws classes" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_real_faces_are_found_and_noise_is_none() -> None:
    real = read("faces", "train", 64)
    found = face_shares(real.images[:30], "faces", None)
    assert found.drawn.value > 0.5
    assert found.noise.value == 0
    assert found.real_images == "held-out images"
