"""The foundation: pixels, seeds, files that are whole or absent, conditions, errors."""

from pathlib import Path

import pytest
import torch

from marmor.base.conditions import ClassLabel, ObjectSet, drop_each, none_of
from marmor.base.errors import UserError, refuse, unknown_name
from marmor.base.files import atomic, inside, read_json, write_json
from marmor.base.pixels import to_bytes, to_unit
from marmor.base.seeds import derive, numpy_stream, torch_stream


def test_pixels_go_there_and_back() -> None:
    every = torch.arange(256, dtype=torch.uint8)
    unit = to_unit(every)
    assert (unit[0], unit[-1]) == (-1, 1)
    assert torch.equal(to_bytes(unit), every)


def test_pixels_out_of_range_are_clipped_and_floats_are_refused() -> None:
    assert to_bytes(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]
    with pytest.raises(TypeError, match="uint8"):
        to_unit(torch.zeros(2))


def test_streams_depend_on_every_word() -> None:
    assert derive(0, "a", 1) == derive(0, "a", 1)
    seeds = {derive(0), derive(1), derive(0, "a"), derive(0, "a", 1), derive(0, "a", 11)}
    assert len(seeds) == 5
    assert torch.equal(
        torch.rand(3, generator=torch_stream(0, "x")), torch.rand(3, generator=torch_stream(0, "x"))
    )
    assert numpy_stream(0, "x").random() != numpy_stream(0, "y").random()


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"a": 1})

    def fail_halfway() -> None:
        with atomic(path) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert read_json(path) == {"a": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["value.json"]


def test_paths_cannot_leave_their_folder(tmp_path: Path) -> None:
    assert inside(tmp_path, "a/b.png") == tmp_path / "a/b.png"
    for name in ("../x", "/etc/passwd", "a/../../x"):
        with pytest.raises(UserError, match="outside"):
            inside(tmp_path, name)


def test_damaged_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(UserError, match=r"x\.json"):
        read_json(tmp_path / "x.json")
    with pytest.raises(UserError, match="does not exist"):
        read_json(tmp_path / "y.json")
    (tmp_path / "deep.json").write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(UserError, match=r"deep\.json cannot be read as JSON: lists lie"):
        read_json(tmp_path / "deep.json")


def test_wishes_that_cannot_be_heeded_are_refused() -> None:
    refuse("none are taken", count=None, classes="")
    for given in (0, 2, "a", False):
        with pytest.raises(UserError, match=r"^none are taken; leave --per-class out\.$"):
            refuse("none are taken", count=None, per_class=given)


def test_unknown_names_get_the_nearest() -> None:
    message = str(unknown_name("solver", "ddimm", ["ddim", "ddpm"]))
    assert "did you mean 'ddim'" in message
    assert "did you mean" not in str(unknown_name("solver", "zzz", ["ddim"]))


def test_of_many_names_the_first_are_listed() -> None:
    names = [f"n{number:04d}" for number in range(1000)]
    assert str(unknown_name("class", "zzz", names)).endswith("n0048, n0049 and 950 more.")
    assert str(unknown_name("class", "zzz", names[:50])).endswith("n0048, n0049.")


def test_labels_are_dropped_per_sample_and_per_condition() -> None:
    kinds = {"digit": ClassLabel(10), "domain": ClassLabel(2)}
    count = 20_000
    values = {name: torch.zeros(count, dtype=torch.int64) for name in kinds}
    dropped = drop_each(kinds, values, 0.1, torch.Generator().manual_seed(0))
    none = {name: dropped[name] == kinds[name].size for name in kinds}
    for gone in none.values():
        assert gone.float().mean().item() == pytest.approx(0.1, abs=0.01)
    both = (none["digit"] & none["domain"]).float().mean().item()
    assert both == pytest.approx(0.01, abs=0.004)
    assert values["digit"].sum() == 0


def test_sets_are_dropped_whole_and_none_is_not_the_empty_set() -> None:
    kind = ObjectSet(3)
    asked = torch.tensor([[True, False, True], [False, False, False]])
    values = kind.encode(asked)
    assert values.tolist() == [[1, 0, 1, 0], [0, 0, 0, 0]]
    assert kind.none(2).tolist() == [[0, 0, 0, 1]] * 2
    assert kind.drop(values, torch.tensor([True, False])).tolist() == [[0, 0, 0, 1], [0, 0, 0, 0]]
    many = kind.encode(torch.ones(20_000, 3, dtype=torch.bool))
    kinds = {"objects": kind, "class": ClassLabel(2)}
    given = {"objects": many, "class": torch.zeros(20_000, dtype=torch.int64)}
    dropped = drop_each(kinds, given, 0.1, torch.Generator().manual_seed(0))
    gone = dropped["objects"][:, -1] == 1
    assert gone.float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert (dropped["objects"][:, :3].sum(1) == torch.where(gone, 0.0, 3.0)).all()


def test_none_of_every_condition() -> None:
    unsaid = none_of({"digit": ClassLabel(10)}, 3)
    assert unsaid["digit"].tolist() == [10, 10, 10]
