"""`audit`: whether disk and record agree, byte by byte."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ccdcore.errors import FrameReadError
from ccdcore.io.plain_files import file_sha256
from db.champions import current_reference
from db.files import ledger
from db.runs.masters import list_masters
from db.schema.rows import Row
from flows.home.home import Home
from flows.home.processes import now
from flows.products.leftovers import files_below, unregistered
from flows.products.references import places_of
from flows.watching.directory_tree import Tree


class Finding(StrEnum):
    """How disk and record differ."""

    CHANGED = "changed"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    UNREGISTERED = "unregistered"


@dataclass(frozen=True, slots=True)
class Difference(Row):
    """One file that is not as the record says.

    Parameters
    ----------
    finding : Finding
        How it differs.
    kind : str
        ``raw``, ``master`` or ``reference``.
    id : str or None
        What ``ccdwatch retry`` takes to work on it again: the file, or the run that made it; None where there is none.
    path : str
        Where it lies, or should.
    sha256 : str or None
        Of its bytes, on record.
    found_sha256 : str or None
        Of its bytes, on disk.
    """

    finding: Finding
    kind: str
    id: str | None
    path: str
    sha256: str | None
    found_sha256: str | None = None


def audit(
    home: Home, *, progress: Callable[[str, int, int], None] = lambda *_: None
) -> tuple[list[dict[str, Any]], int]:
    """Hold every raw file, master and reference of this machine against the record, by its SHA-256.

    Raw files are those that frames were registered from. Unregistered is what would count, and lies in the folders
    that they came from or in watched ones, but is not on the ledger (while a service runs, nothing older than its
    last scan), and all that is below ``masters/`` and ``reference/`` and was not put there by a run on record.

    Returns
    -------
    list of dict
        The differences, as plain JSON values, raw files first.
    int
        How many files were looked at.
    """
    expected = [*_raw_files(home), *_products(home)]
    unregistered = [*_unregistered_frames(home), *_unregistered_products(home, {one.path for one in expected})]
    found = []
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for number, difference in enumerate(threads.map(_look, expected), start=1):
            progress("reading files", number, len(expected))
            found += [difference] if difference is not None else []
    return [one.as_dict() for one in [*found, *unregistered]], len(expected) + len(unregistered)


def _raw_files(home: Home) -> Iterator[Difference]:
    with home.read_session() as session:
        registered = ledger.registered(session, host=home.settings.host)
    for file, sha256 in registered:
        yield Difference(Finding.CHANGED, "raw", f"file:{file.id}", str(file.path), sha256)


def _products(home: Home) -> Iterator[Difference]:
    with home.read_session() as session:
        made, current = list_masters(session, superseded=True), current_reference(session, at=now())
    for one in made:
        path = home.path / one.path
        yield Difference(Finding.CHANGED, "master", f"run:{one.run_id}", str(path), one.sha256)
    for place, one in places_of(current).items():
        yield Difference(Finding.CHANGED, "reference", f"run:{one.run_id}", str(home.path / place), one.sha256)


def _look(expected: Difference) -> Difference | None:
    """Return how a file differs from what is expected of it; None where it does not."""
    path = Path(expected.path)
    try:
        path.stat()
        sha256 = file_sha256(path)
    except FileNotFoundError:
        return _as(expected, Finding.MISSING)
    except (FrameReadError, OSError):
        return _as(expected, Finding.UNREADABLE)
    return None if sha256 == expected.sha256 else _as(expected, Finding.CHANGED, sha256)


def _as(expected: Difference, finding: Finding, found_sha256: str | None = None) -> Difference:
    return Difference(finding, expected.kind, expected.id, expected.path, expected.sha256, found_sha256)


def _unregistered_frames(home: Home) -> Iterator[Difference]:
    watch = home.settings.watch
    roots = {root for root, _ in _on_ledger(home)} | {str(directory) for directory in watch.directories}
    # Walked first: what lands now is on the ledger before it is asked for.
    trees = [Tree(root, include=watch.include, exclude=str(home.path)) for root in roots]
    walked = {path for tree in trees for path, _ in tree.walk()}
    for path in sorted(walked - {f"{root.rstrip('/')}/{below}" for root, below in _on_ledger(home)}):
        yield Difference(Finding.UNREGISTERED, "raw", None, path, None)


def _on_ledger(home: Home) -> set[tuple[str, str]]:
    with home.read_session() as session:
        return {(one.root, one.relative_path) for one in ledger.sightings(session, host=home.settings.host)}


def _unregistered_products(home: Home, known: set[str]) -> Iterator[Difference]:
    for path in unregistered(home):
        yield Difference(Finding.UNREGISTERED, "master", None, str(path), None)
    for path in sorted(files_below(home.path, "reference")):
        if str(path) not in known:
            yield Difference(Finding.UNREGISTERED, "reference", None, str(path), None)
