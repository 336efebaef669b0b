"""Who imports whom: circles, and arrows against the order of import-linter's contracts."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grimp

Imports = dict[str, set[str]]
"""Name → names that it imports; every name has an entry."""


@dataclass(frozen=True, slots=True)
class Layers:
    """A contract of layers.

    Parameters
    ----------
    containers : tuple of str
        Packages that the names of layers are below; an empty name for none.
    layers : tuple of tuple of str
        The highest first; several names of one layer stand beside each other.
    independent : tuple of bool
        Whether those of a layer may not import each other.
    """

    containers: tuple[str, ...]
    layers: tuple[tuple[str, ...], ...]
    independent: tuple[bool, ...]


def read_imports(root: Path, packages: Iterable[str]) -> Imports:
    """Return what each module of these packages below a folder imports of them."""
    with _importable(root):
        graph = grimp.build_graph(*packages, cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in sorted(graph.modules)}


@contextmanager
def _importable(root: Path) -> Iterator[None]:
    sys.path.insert(0, str(root))
    try:
        yield
    finally:
        sys.path.remove(str(root))


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the groups of names each of which reaches all others of its group, the largest first."""
    below = {name: reached(graph, name) for name in graph}
    groups: dict[str, list[str]] = {}
    for name in sorted(graph):
        if name in below[name]:
            first = min(other for other in below[name] if name in below.get(other, ()))
            groups.setdefault(min(first, name), []).append(name)
    return sorted((group for group in groups.values() if len(group) > 1), key=lambda group: (-len(group), group))


def reached(graph: Mapping[str, set[str]], name: str) -> set[str]:
    """Return all that a name imports, whatever lies between; itself only where it is in a circle."""
    found: set[str] = set()
    ahead = list(graph.get(name, ()))
    while ahead:
        one = ahead.pop()
        if one not in found:
            found.add(one)
            ahead += graph.get(one, ())
    return found


def levels(graph: Mapping[str, set[str]]) -> dict[str, Imports]:
    """Return, for each package that has sub-packages, who imports whom among what lies directly in it.

    The packages themselves are below the empty name.
    """
    packages = {""} | {name.rpartition(".")[0] for name in graph}
    found = {package: squashed(graph, package) for package in sorted(packages)}
    return {name: level for name, level in found.items() if any(_has_below(graph, child) for child in level)}


def _has_below(graph: Mapping[str, set[str]], name: str) -> bool:
    return any(one.startswith(f"{name}.") for one in graph)


def squashed(graph: Mapping[str, set[str]], package: str) -> Imports:
    """Return who imports whom among what lies directly in a package, each with all below it."""
    found: Imports = {}
    for module, imported in graph.items():
        child = child_of(package, module)
        if child is not None:
            others = {other for one in imported if (other := child_of(package, one)) is not None}
            found.setdefault(child, set()).update(others - {child})
    return found


def child_of(package: str, module: str) -> str | None:
    """Return what directly in a package a module belongs to; None where it does not."""
    prefix = f"{package}." if package else ""
    if not module.startswith(prefix):
        return None
    return prefix + module.removeprefix(prefix).split(".")[0]


def contracts(pyproject: Path) -> list[Layers]:
    """Return import-linter's contracts of layers."""
    linter = tomllib.loads(pyproject.read_text(encoding="utf-8"))["tool"]["importlinter"]
    return [_layers(one) for one in linter["contracts"] if one["type"] == "layers"]


def _layers(contract: Mapping[str, list[str]]) -> Layers:
    texts = [layer.replace("(", "").replace(")", "") for layer in contract["layers"]]
    names = tuple(tuple(name.strip() for name in re.split(r"[|:]", text)) for text in texts)
    return Layers(tuple(contract.get("containers", ("",))), names, tuple("|" in text for text in texts))


def upward(graph: Mapping[str, set[str]], pyproject: Path) -> list[tuple[str, str]]:
    """Return the imports that go against a contract: importer and imported."""
    found = {
        (module, one)
        for contract in contracts(pyproject)
        for container in contract.containers
        for module, imported in graph.items()
        for one in imported
        if _is_upward(contract, _place(contract, container, module), _place(contract, container, one))
    }
    return sorted(found)


def _place(contract: Layers, container: str, module: str) -> tuple[int, str] | None:
    """Return the layer of a module, counted from above, and which of the layer's names it belongs to."""
    for number, names in enumerate(contract.layers):
        for name in names:
            full = f"{container}.{name}" if container else name
            if module == full or module.startswith(f"{full}."):
                return number, name
    return None


def _is_upward(contract: Layers, importer: tuple[int, str] | None, imported: tuple[int, str] | None) -> bool:
    if importer is None or imported is None:
        return False
    if importer[0] == imported[0]:
        return importer[1] != imported[1] and contract.independent[importer[0]]
    return importer[0] > imported[0]
