"""The files that paths on a command line mean, and what was met there and is none that can be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ccdcore.text import readable
from db.files.ledger import Sighting
from flows.config.errors import SettingsError
from flows.home.home import Home
from flows.watching.directory_tree import Tree


@dataclass(slots=True)
class FoundFiles:
    """Files to be registered, and what is left out of them, each with ``path`` and ``reason``.

    Parameters
    ----------
    sightings : list of Sighting
        Regular files, also behind links.
    failed, excluded : list of dict
        What was named, and what was met in a folder, and cannot be read.
    """

    sightings: list[Sighting] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    excluded: list[dict[str, str]] = field(default_factory=list)


def find_files(home: Home, paths: Sequence[Path]) -> FoundFiles:
    """Return the files of paths, below the watched directories that they lie in, else below the paths.

    Raises
    ------
    SettingsError
        If a path does not exist.
    """
    found = FoundFiles()
    for path in paths:
        where = path.resolve() if path.is_dir() else path.parent.resolve() / path.name
        if not path.exists() and not where.is_symlink():
            raise SettingsError(f"{where}: no such file or folder")
        top = where if path.is_dir() else where.parent
        root = next((d for d in home.settings.watch.directories if where.is_relative_to(d)), top)
        tree = Tree(str(root), include=home.settings.watch.include, exclude=str(home.path.resolve()))
        if path.is_dir():
            found.sightings += [sighting for _, sighting in tree.walk(str(where))]
        elif sighting := tree.sight(str(where)):
            found.sightings.append(sighting)
        _leave_out(found, tree, named=str(where))
    return found


def _leave_out(found: FoundFiles, tree: Tree, *, named: str) -> None:
    unreadable = dict.fromkeys(tree.unreadable, "cannot be listed, so frames in it are not seen: make it readable")
    for path, reason in sorted({**tree.skipped, **unreadable}.items()):
        where = found.failed if path == named else found.excluded
        where.append({"path": readable(path), "reason": reason})
