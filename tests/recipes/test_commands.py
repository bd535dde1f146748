from pathlib import Path

from marmor.recipes.commands import options


def test_wishes_become_what_a_person_would_type():
    wishes = {
        "data": Path("a b"),
        "shots": (1, 2),
        "seed": 0,
        "left_out": None,
        "off": False,
        "none": [],
        "with_faces": True,
    }
    expected = ("--data", "a b", "--shots", "1", "2", "--seed", "0", "--with-faces")
    assert options(wishes) == expected
