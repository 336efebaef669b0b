"""How the code is laid out: `python -m benchmarks.house` measures, with ``--write`` draws docs/house.md.

Imports are those that grimp finds: late ones and those for type checkers count as any other.
"""

from __future__ import annotations

import argparse
import operator
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.house_graph import Imports, circles, contracts, levels, read_imports, upward
from benchmarks.house_lines import FolderFiles, SourceFile, documented_share, folders, quantile, sources
from benchmarks.house_picture import picture

ROOT = Path(__file__).resolve().parents[1]
PICTURE = "docs/house.md"
ROW = "| {:<52} | {:>8} | {:>6} | {}"


@dataclass(frozen=True, slots=True)
class Limit:
    """What a measure may be.

    Parameters
    ----------
    name : str
        Of the measure.
    holds : callable
        Whether a value is within the limit.
    limit : float
        The limit; NaN where there is none.
    """

    name: str
    holds: Callable[[float, float], bool] = operator.le
    limit: float = float("nan")


LIMITS = (
    Limit("most files in a folder", limit=9),
    Limit("fewest files in a sub-package", operator.ge, 3),
    Limit("circles among modules", limit=0),
    Limit("circles among packages", limit=0),
    Limit("arrows upwards", limit=0),
    Limit("late imports", limit=40),
    Limit("median lines of a module"),
    Limit("longest module", limit=400),
    Limit("90 % of the functions have at most lines", limit=18),
    Limit("public functions of ccdcore that say each shape, %", operator.ge, 98),
    Limit("public functions of ccdcore that say each unit, %", operator.ge, 98),
    Limit("public functions of ccdcore that say each error, %", operator.ge, 98),
)
"""Each measure, and what it may be."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A value, and where it comes from, the worst first."""

    value: float
    where: tuple[str, ...] = ()


def measure(root: Path, packages: Iterable[str], *, science: str = "ccdcore") -> dict[str, Measure]:
    """Measure a tree.

    Parameters
    ----------
    root : Path
        Folder with pyproject.toml, from which packages can be imported.
    packages : iterable of str
        The floors.
    science : str
        The one whose docstrings are to give shapes and units.
    """
    packages = tuple(packages)
    found = [one for package in packages for one in sources(root, package)]
    graph = read_imports(root, packages)
    return {
        **_folders(root, [one for package in packages for one in folders(root, package)]),
        **_arrows(graph, root),
        **_lines(found),
        **_docstrings([one for one in found if one.module.split(".")[0] == science]),
    }


def _folders(root: Path, found: Iterable[FolderFiles]) -> dict[str, Measure]:
    by_size = sorted(found, key=lambda one: -len(one.files))
    inner = [one for one in by_size if one.is_sub_package]
    words = [f"{one.path.relative_to(root)} {len(one.files)}" for one in by_size]
    few = [f"{one.path.relative_to(root)} {len(one.files)}" for one in reversed(inner)]
    return {
        "most files in a folder": Measure(len(by_size[0].files), tuple(words)),
        "fewest files in a sub-package": Measure(len(inner[-1].files) if inner else float("inf"), tuple(few)),
    }


def _arrows(graph: Imports, root: Path) -> dict[str, Measure]:
    of_modules = circles(graph)
    of_packages = [circle for level in levels(graph).values() for circle in circles(level)]
    up = upward(graph, root / "pyproject.toml")
    return {
        "circles among modules": Measure(len(of_modules), tuple(map(" ⇄ ".join, of_modules))),
        "circles among packages": Measure(len(of_packages), tuple(map(" ⇄ ".join, of_packages))),
        "arrows upwards": Measure(len(up), tuple(" → ".join(arrow) for arrow in up)),
    }


def _lines(found: list[SourceFile]) -> dict[str, Measure]:
    late = sorted(found, key=lambda one: -len(one.late_imports))
    long = sorted(found, key=lambda one: -one.n_lines)
    functions = sorted((one for source in found for one in source.functions), key=lambda one: -one.n_lines)
    return {
        "late imports": Measure(
            sum(len(one.late_imports) for one in found),
            tuple(f"{one.module} {len(one.late_imports)}" for one in late if one.late_imports),
        ),
        "median lines of a module": Measure(quantile([one.n_lines for one in found], 0.5)),
        "longest module": Measure(long[0].n_lines, tuple(f"{one.module} {one.n_lines}" for one in long)),
        "90 % of the functions have at most lines": Measure(
            quantile([one.n_lines for one in functions], 0.9), tuple(f"{one.name} {one.n_lines}" for one in functions)
        ),
    }


def _docstrings(found: list[SourceFile]) -> dict[str, Measure]:
    measures = {}
    for what in ("shape", "unit", "error"):
        share, lacking = documented_share(found, what)
        measures[f"public functions of ccdcore that say each {what}, %"] = Measure(round(100 * share), lacking)
    return measures


def broken(measures: Mapping[str, Measure]) -> list[str]:
    """Return the limits that do not hold."""
    return [one.name for one in LIMITS if one.limit == one.limit and not one.holds(measures[one.name].value, one.limit)]


def floors(root: Path) -> tuple[str, ...]:
    """Return the floors, the highest first: as the contract of layers has them that is of whole packages."""
    found = (one for one in contracts(root / "pyproject.toml") if one.containers == ("",))
    orders = (tuple(name for names in one.layers for name in names) for one in found)
    return next(order for order in orders if not any("." in name for name in order))


def main() -> int:
    """Print a table, status 1 where a limit does not hold; or write the picture."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.house", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {PICTURE}")
    parser.add_argument("--all", action="store_true", help="all places of each measure, not the first three")
    options = parser.parse_args()
    if options.write:
        (ROOT / PICTURE).write_text(picture(ROOT, floors(ROOT)), encoding="utf-8")
        return 0
    measures = measure(ROOT, floors(ROOT))
    misses = broken(measures)
    print(ROW.format("what", "value", "limit", "the worst |"))
    print("| --- | ---: | ---: | --- |")
    for one in LIMITS:
        found = measures[one.name]
        where = found.where if options.all else found.where[:3]
        limit = f"{one.limit:g}" if one.limit == one.limit else "–"
        print(
            ROW.format(one.name, f"{found.value:g}", limit, f"{'**' if one.name in misses else ''}{', '.join(where)} |")
        )
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
