"""Noises that somebody else drew: formats, and everything that can be wrong with a file."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from marmor.base.errors import UserError
from marmor.data import read_noise, read_noises

NOISE = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))


class Evil:
    def __reduce__(self):
        return (print, ("ran",))


def test_all_formats_and_both_shapes_hold_the_same_noise(tmp_path: Path) -> None:
    torch.save(NOISE, tmp_path / "00.pt")
    np.save(tmp_path / "01.npy", NOISE[0].double().numpy().astype(">f8"))
    save_file({"noise": NOISE}, tmp_path / "02.safetensors")
    torch.save({"noise": NOISE[0].clone().requires_grad_(), "seed": 3}, tmp_path / "03.pt")
    (tmp_path / "read me.txt").write_text("not a noise")
    noises = read_noises(tmp_path)
    assert noises.names == ("00", "01", "02", "03")
    assert torch.equal(noises.values, NOISE.expand(4, -1, -1, -1))
    assert noises.values.dtype == torch.float32
    assert len(noises.fingerprint()) == 32


def test_the_fingerprint_tells_names_and_values_apart(tmp_path: Path) -> None:
    prints = set()
    for folder, name, value in (("a", "00", NOISE), ("b", "01", NOISE), ("c", "00", NOISE + 1)):
        (tmp_path / folder).mkdir()
        torch.save(value, tmp_path / folder / f"{name}.pt")
        prints.add(read_noises(tmp_path / folder).fingerprint())
    assert len(prints) == 3


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        (torch.zeros(4, 4), "floats of shape"),
        (torch.zeros(2, 3, 4, 4), "floats of shape"),
        (torch.zeros(3, 0, 4), "floats of shape"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), "floats of shape"),
        (torch.full((3, 4, 4), torch.nan), "not finite"),
        ({"a": NOISE, "b": NOISE}, "no single tensor"),
        (["text"], "no single tensor"),
    ],
)
def test_what_is_no_noise_is_refused(value, wrong: str, tmp_path: Path) -> None:
    torch.save(value, tmp_path / "00.pt")
    with pytest.raises(UserError, match=wrong):
        read_noise(tmp_path / "00.pt")


def test_damaged_and_dangerous_files_are_refused(tmp_path: Path) -> None:
    torch.save(NOISE, tmp_path / "00.pt")
    whole = (tmp_path / "00.pt").read_bytes()
    (tmp_path / "short.pt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "short.npy").write_bytes(b"\x93NUMPY")
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "code.pt").write_bytes(pickle.dumps(Evil(), protocol=2))
    np.save(tmp_path / "code.npy", np.array([Evil()]), allow_pickle=True)
    cases = [("short.pt", "cut short"), ("short.npy", "cut short"), ("empty.pt", "is empty")]
    cases += [
        ("code.pt", "holds code"),
        ("code.npy", "Python objects"),
        ("none.pt", "does not exist"),
    ]
    for name, wrong in cases:
        with pytest.raises(UserError, match=wrong):
            read_noise(tmp_path / name)


def test_folders_that_cannot_be_drawn_from_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a folder"):
        read_noises(tmp_path / "none")
    with pytest.raises(UserError, match="holds no noises"):
        read_noises(tmp_path)
    torch.save(NOISE, tmp_path / "00.pt")
    torch.save(NOISE[..., :2], tmp_path / "01.pt")
    with pytest.raises(UserError, match=r"01\.pt is of size 3 × 4 × 2, its neighbour 00\.pt"):
        read_noises(tmp_path)
    np.save(tmp_path / "00.npy", NOISE.numpy())
    np.save(tmp_path / "00.more.npy", NOISE.numpy())  # sorted between the two
    with pytest.raises(UserError, match="two noises called 00"):
        read_noises(tmp_path)
