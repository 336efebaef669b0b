"""How the code is laid out: what holds of this house, and that the measures see what they are to see."""

from pathlib import Path

import pytest

from benchmarks.house import LIMITS, PICTURE, ROOT, Limit, broken, floors, measure
from benchmarks.house_graph import circles, read_imports
from benchmarks.house_picture import picture


def test_the_house_keeps_its_limits() -> None:
    measures = measure(ROOT, floors(ROOT))
    assert {one.name for one in LIMITS} == set(measures)
    misses = broken(measures)
    assert not misses, "\n".join(f"{name} {measures[name].value}: {measures[name].where[:5]}" for name in misses)


def test_the_picture_of_the_house_is_up_to_date() -> None:
    assert (ROOT / PICTURE).read_text(encoding="utf-8") == picture(ROOT, floors(ROOT)), (
        "type python -m benchmarks.house --write"
    )


_CONTRACTS = """
[[tool.importlinter.contracts]]
name = "rooms of the upper floor"
type = "layers"
layers = ["{0}_upper.attic", "{0}_upper.hall"]

[[tool.importlinter.contracts]]
name = "floors"
type = "layers"
layers = ["{0}_upper", "{0}_lower"]

[[tool.importlinter.contracts]]
name = "rooms of the lower floor"
type = "layers"
containers = ["{0}_lower"]
layers = ["kitchen | bath", "(cellar)"]
"""

_CELLAR = '''"""Where coal is."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from {0}_lower.cellar import shelf


def coal(pile: "NDArray", name: str = "") -> float:
    """Return the mass of a pile, shape (rows, columns), in seconds of burning."""
    from {0}_lower.kitchen import stove

    import os
    return 1.0


def ash(pile: "NDArray") -> None:
    """Carry it away."""
    raise OSError


def soot() -> None:
    """Sweep it out.

    Raises
    ------
    OSError
        Always.
    """
    raise OSError


def _hidden(pile: "NDArray") -> None: ...
'''


@pytest.fixture
def tree(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, str]:
    """A house of two floors, the lower with three rooms; its names are of one test only, as imports are kept."""
    name = f"house_{request.node.name}"
    files = {
        "_upper/__init__.py": '"""Living."""\n',
        "_upper/hall.py": f'"""Where one comes in."""\n\nfrom {name}_lower.kitchen import stove\n',
        "_lower/__init__.py": '"""Keeping."""\n',
        "_lower/kitchen/__init__.py": '"""Where one cooks.\n\nAnd eats.\n"""\n',
        "_lower/kitchen/stove.py": f"from {name}_lower.cellar import coal\n",
        "_lower/kitchen/sink.py": f"from {name}_lower.bath import tub\n",
        "_lower/bath/__init__.py": '"""Where one bathes."""\n',
        "_lower/bath/tub.py": "",
        "_lower/cellar/__init__.py": "",
        "_lower/cellar/coal.py": _CELLAR.format(name),
        "_lower/cellar/shelf.py": f"from {name}_lower.cellar import coal\n",
        "_lower/static/a.css": "",
    }
    files |= {f"_lower/static/{number}.js": "" for number in range(20)}
    for path, text in files.items():
        (tmp_path / (name + path)).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / (name + path)).write_text(text, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(_CONTRACTS.format(name), encoding="utf-8")
    return tmp_path, name


def test_circles_and_arrows_are_found(tree: tuple[Path, str]) -> None:
    root, name = tree
    assert floors(root) == (f"{name}_upper", f"{name}_lower")
    measures = measure(root, floors(root), science=f"{name}_lower")
    lower = f"{name}_lower"
    # Late imports and those for types are imports; the circle of packages is that of the same modules.
    assert measures["circles among modules"].where == (
        f"{lower}.cellar.coal ⇄ {lower}.cellar.shelf ⇄ {lower}.kitchen.stove",
    )
    assert measures["circles among packages"].where == (f"{lower}.cellar ⇄ {lower}.kitchen",)
    assert measures["arrows upwards"].where == (
        f"{lower}.cellar.coal → {lower}.kitchen.stove",
        f"{lower}.kitchen.sink → {lower}.bath.tub",  # they stand beside each other
    )


def test_files_lines_and_docstrings_are_counted(tree: tuple[Path, str]) -> None:
    root, name = tree
    measures = measure(root, floors(root), science=f"{name}_lower")
    assert measures["most files in a folder"].value == 2
    assert measures["fewest files in a sub-package"].where[0] == f"{name}_lower/bath 1"
    assert measures["late imports"].where == (f"{name}_lower.cellar.coal 2",)
    assert measures["longest module"].where[0] == f"{name}_lower.cellar.coal 33"
    functions = measures["90 % of the functions have at most lines"]
    assert functions.where[0] == f"{name}_lower.cellar.coal.coal 5"  # no docstring
    for what in ("shape", "unit", "error"):
        said = measures[f"public functions of ccdcore that say each {what}, %"]
        assert (said.value, said.where) == (50, (f"{name}_lower.cellar.coal.ash",))


def test_limits_that_do_not_hold_are_named(tree: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    root, _ = tree
    measures = measure(root, floors(root))
    few, some = "fewest files in a sub-package", "longest module"
    limits = [one for one in LIMITS if one.name in (few, "late imports")] + [Limit(some, limit=20), Limit("no limit")]
    monkeypatch.setattr("benchmarks.house.LIMITS", limits)
    assert broken(measures) == [few, some]


def test_a_name_that_only_leads_to_a_circle_is_none_of_it() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"d"}, "e": {"f"}, "f": {"e"}}) == [["b", "c"], ["e", "f"]]


def test_the_picture_shows_rooms_and_arrows(tree: tuple[Path, str]) -> None:
    root, name = tree
    (root / f"{name}_lower/cellar/coal.py").write_text("")  # no circle any more
    (root / f"{name}_upper/attic.py").write_text(
        f"from {name}_lower.cellar import coal\nfrom {name}_upper import hall\n", encoding="utf-8"
    )
    drawn = picture(root, floors(root))
    assert f"    room_{name}_upper --> room_{name}_lower\n" in drawn
    assert f'    room_{name}_lower_kitchen["kitchen"]\n' in drawn
    assert f"    room_{name}_lower_kitchen --> room_{name}_lower_cellar\n" in drawn
    assert f"    room_{name}_upper_attic --> room_{name}_upper_hall\n" in drawn
    assert "* **kitchen**: Where one cooks.\n" in drawn
    assert "* **hall**: Where one comes in.\n" in drawn
    assert read_imports(root, floors(root))[f"{name}_upper.attic"] == {
        f"{name}_lower.cellar.coal",
        f"{name}_upper.hall",
    }
