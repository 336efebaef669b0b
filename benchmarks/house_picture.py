"""The picture of the house, drawn from the code: floors, rooms, what each is for, and who imports whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.house_graph import Imports, circles, reached, read_imports, squashed

_HEAD = """# The house

Drawn from the code by `python -m benchmarks.house --write`; do not edit. An arrow says "imports"; one that others
make superfluous is left out.
"""


def picture(root: Path, packages: Sequence[str]) -> str:
    """Return a page in Markdown: a diagram of the floors, and for each one of its rooms and a line for each room.

    Parameters
    ----------
    root : Path
        Folder of the packages.
    packages : sequence of str
        The floors, the highest first.
    """
    graph = read_imports(root, packages)
    parts = [_HEAD, _diagram({name: squashed(graph, "")[name] for name in packages})]
    for package in packages:
        rooms = squashed(graph, package)
        parts += [f"## {package}\n\n{_purpose(root, package)}\n", _diagram(rooms), _list(root, rooms)]
    return "\n".join(parts)


def _diagram(rooms: Mapping[str, set[str]]) -> str:
    """Draw rooms as boxes, those that import others above them."""
    names = {room: room.rpartition(".")[2] for room in rooms}
    boxes = [f'    {_key(room)}["{name}"]' for room, name in names.items()]
    arrows = [f"    {_key(one)} --> {_key(other)}" for one, other in _arrows(rooms)]
    return "\n".join(["```mermaid", "flowchart TD", *boxes, *arrows, "```", ""])


def _key(room: str) -> str:
    """Return a name that means nothing to Mermaid, to which some words do."""
    return "room_" + room.replace(".", "_")


def _arrows(rooms: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    """Yield who imports whom, but where a way over other rooms says so already; all of a circle."""
    circle_of = {room: number for number, circle in enumerate(circles(rooms)) for room in circle}
    below: Imports = {room: reached(rooms, room) for room in rooms}
    for room in sorted(rooms):
        for other in sorted(rooms[room]):
            between = rooms[room] - {other}
            if room in circle_of or other in circle_of or not any(other in below[one] for one in between):
                yield room, other


def _list(root: Path, rooms: Mapping[str, set[str]]) -> str:
    lines = [f"* **{room.rpartition('.')[2]}**: {_purpose(root, room)}" for room in sorted(rooms)]
    return "\n".join([*lines, ""])


def _purpose(root: Path, module: str) -> str:
    """Return the first line of a module's or package's docstring."""
    base = root.joinpath(*module.split("."))
    path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "(it does not say what it is for)"
    return text.splitlines()[0]
