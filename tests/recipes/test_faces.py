"""`marmor train faces`: images without classes, from training to the page."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from marmor.cli import main
from marmor.data import read, write
from marmor.recipes.face_shares import face_shares, real_faces
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
    main(f"strip {faces} --frames 3 --out {tmp_path / 'strip.png'}".split())
    log = (faces / "metrics.jsonl").read_text()
    main(f"resume {faces}".split())
    assert (faces / "metrics.jsonl").read_text() == log  # it was at its end
    main(f"report {faces} --per-class 9 --real digits".split())
    figures = json.loads((faces / "summary.json").read_text())
    assert (figures["faces.images"], figures["faces.real.images"]) == (9, 9)
    assert figures["faces.real.which"] == "images of digits"
    assert figures["faces.share.noise"] == figures["faces.share.real"] == 0
    page = (faces / "report.html").read_text()
    assert "one face found" in page
    assert "marmor train faces" in page


def test_a_wrong_wish_leaves_the_last_report_whole(faces: Path, capsys) -> None:
    main(f"report {faces} --per-class 4".split())
    before = {path: path.read_bytes() for path in faces.rglob("*") if path.is_file()}
    for wish, wrong in (
        ("--real nowhere", "nowhere"),
        ("--judge pretrained:digit-judge", "no classes"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(f"report {faces} --per-class 4 {wish}".split())
        assert stopped.value.code == 2
        assert wrong in capsys.readouterr().err
    assert {path: path.read_bytes() for path in faces.rglob("*") if path.is_file()} == before


def test_without_a_detector_the_page_says_so(faces: Path, monkeypatch) -> None:
    monkeypatch.setattr("marmor.recipes.publishing.can_detect", lambda: False)
    main(f"report {faces} --per-class 4".split())
    assert "marmor[faces]" in (faces / "report.html").read_text()
    assert "faces.share" not in json.loads((faces / "summary.json").read_text())


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
            assert Path(command.split()[-1]).exists()
        else:
            with pytest.raises(SystemExit) as stopped:
                main(command.split())
            assert stopped.value.code == 2
            assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_networks_for_classes_are_refused(tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(f"train faces --run {tmp_path / 'run'} --network context-unet".split())
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert "draws classes" in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_real_faces_are_found_and_noise_is_none(capsys, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MARMOR_CACHE", str(tmp_path))
    drawn = read("faces", "train", 64).images[:40]
    found = face_shares(drawn, real_faces("faces", None, 64))
    assert (found.drawn.count, found.noise.count) == (40, 40)
    assert found.drawn.value > 0.5
    assert found.noise.value == 0
    assert (found.what, found.real.count) == ("held-out images", 10)
    told = capsys.readouterr().out
    for title in ("generated images", "real images", "noise"):
        assert f"faces in {title}: done" in told


def test_without_other_images_those_of_training_are_named(tmp_path: Path) -> None:
    write(read("faces", "train"), tmp_path / "faces.npz")
    found = real_faces(str(tmp_path / "faces.npz"), None, 16)
    assert found.what.startswith("training images")
