"""Whether two commits give the same results: `python -m benchmarks.same_results COMMIT_A COMMIT_B [--frames DIR]…`.

Both work on a fixed simulated set and on folders given, in homes of their own, with the packages of this
environment. Then B opens the homes that A made.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.fixed_frames import write_fixed_frames
from benchmarks.results import LEFT_OUT, differences, results_of

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("ccdcore", "db", "web", "flows")
LOCK = "requirements/runtime.txt"
ROW = "| {:<28} | {:<30} | {:>8} | {:>9} |"
OF_STATUS = ("stale", "due", "failed_runs", "open_runs", "quarantined")
"""What a home of A must not differ in when B looks at it. To A, which has just made it, nothing is stale."""
MOST_SHOWN = 20

_TYPED = f"""
import importlib, sys
from pathlib import Path
tree, module, name, *words = sys.argv[1:]
for package in {PACKAGES!r}:
    found = Path(importlib.import_module(package).__file__).resolve()
    if not found.is_relative_to(tree):
        sys.exit(f"{{package}} was imported from {{found}}, not from {{tree}}")
sys.argv = ["ccdwatch", *words]
sys.exit(getattr(importlib.import_module(module), name)())
"""
"""The command of a tree, once it is sure that it is of that tree."""


class OtherResultsError(Exception):
    """A commit does not do what is asked of it."""


@dataclass(frozen=True)
class Tree:
    """The files of a commit, and its command."""

    commit: str
    root: Path

    @classmethod
    def of(cls, commit: str, folder: Path) -> Tree:
        """Write the files of a commit into a new folder."""
        folder.mkdir()
        archive = subprocess.run(["git", "-C", ROOT, "archive", commit], capture_output=True, check=True)
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        return cls(commit, folder.resolve())

    def ask(self, *words: object) -> Any:
        """Type ``ccdwatch`` and these words; return what it printed as JSON.

        Raises
        ------
        OtherResultsError
            If that is none.
        """
        done = self.type(*words)
        try:
            return json.loads(done.stdout)
        except ValueError:
            typed = " ".join(map(str, words))
            raise OtherResultsError(f"{self.commit}: ccdwatch {typed}: {done.stdout}{done.stderr}") from None

    def type(self, *words: object) -> subprocess.CompletedProcess[str]:
        """Type ``ccdwatch`` and these words."""
        project = tomllib.loads((self.root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        module, _, name = project["scripts"]["ccdwatch"].partition(":")
        command = [sys.executable, "-P", "-c", _TYPED, str(self.root), module, name, *map(str, words)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CCDWATCH_")}
        environment |= {"PYTHONPATH": str(self.root), "PYTHONSAFEPATH": "1"}
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare two commits; return 0 where all is equal, else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.same_results", description=__doc__)
    parser.add_argument("commits", nargs=2, metavar="COMMIT")
    parser.add_argument("--frames", action="append", default=[], type=Path, metavar="DIR", help="real frames")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="same-results-") as temporary:
        place = Path(temporary).resolve()
        trees = [Tree.of(commit, place / side) for commit, side in zip(options.commits, "AB", strict=True)]
        write_fixed_frames(place / "frames")
        sets = {"simulated": place / "frames"} | {str(folder): folder.resolve() for folder in options.frames}
        print(f"left out: {', '.join(LEFT_OUT)}\n", flush=True)
        if len({(tree.root / LOCK).read_bytes() for tree in trees}) > 1:
            print(f"{LOCK} differs between the two: both ran with the packages of this environment\n")
        print(ROW.format("frames", "what", "compared", "different"))
        print("| --- | --- | ---: | ---: |", flush=True)
        found = [one for name, frames in sets.items() for one in compare(name, frames, trees[0], trees[1], place)]
    for one in found[:MOST_SHOWN]:
        print("{}: {!r} → {!r}".format(*one))
    if len(found) > MOST_SHOWN:
        print(f"… and {len(found) - MOST_SHOWN} more")
    print("not equal" if found else "all equal")
    return 1 if found else 0


def compare(name: str, frames: Path, a: Tree, b: Tree, place: Path) -> list[tuple[str, Any, Any]]:
    """Let both work on the same frames, print a row for each table, return what differs."""
    number = len(list(place.glob("home-a*")))
    homes = [place / f"home-{side}{number}" for side in "ab"]
    of_a, of_b = (results_of(home, tree.ask, frames) for home, tree in zip(homes, (a, b), strict=True))
    found = _report(name, of_a, of_b)
    by_a, by_b = (_on_record(homes[0], tree) for tree in (a, b))
    return found + _report(name, by_a, by_b, "a home of A, as B sees it: ")


def _on_record(home: Path, tree: Tree) -> dict[str, Any]:
    """Return what a tree says of a home that is there; products that are missing are findings of the audit."""
    upgraded = tree.type("db", "upgrade", "--home", home)
    if upgraded.returncode:
        raise OtherResultsError(f"{tree.commit}: ccdwatch db upgrade: {upgraded.stdout}{upgraded.stderr}")
    status = tree.ask("status", "--home", home, "--json")
    said = {f"status/{name}": status[name] for name in OF_STATUS}
    missing = {"audit/findings": tree.ask("audit", "--home", home, "--format", "json")}
    return results_of(home, tree.ask) | said | missing


def _report(
    name: str, one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = ""
) -> list[tuple[str, Any, Any]]:
    """Print a row for each table; return what differs."""
    found = differences(one, other)
    tables = dict.fromkeys(key.split("/")[0] for key in (*one, *other))
    for table in tables:
        compared = len({key for key in (*one, *other) if key.split("/")[0] == table})
        different = sum(key.split("/")[0] == table for key, _, _ in found)
        print(ROW.format(Path(name).name, prefix + table, compared, different), flush=True)
    return [(f"{Path(name).name}: {prefix}{key}", first, second) for key, first, second in found]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except OtherResultsError as error:
        sys.exit(f"{error}")
