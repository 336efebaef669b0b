"""What the listing commands ask the record."""

from __future__ import annotations

import json
import os
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from ccdcore.io.plain_files import file_sha256
from ccdcore.io.write import write_bytes
from ccdcore.quantities import QUANTITIES
from db import provenance as origins
from db.frames.listing import list_frames
from db.judgements.notes import all_lines
from db.runs.masters import list_masters
from db.runs.runs import list_runs
from db.trends import history
from db.trends.changes import changes as changes_on_record
from db.trends.comparison import compare as compare_nights
from flows.config.errors import SettingsError
from flows.home.home import read_home
from flows.home.output_paths import slug
from flows.home.processes import now
from flows.home.service_address import web_url
from flows.registration.disagreements import current_disagreements, in_words
from web.formatting import change_sentence

Rows = list[dict[str, Any]]

_LEARNT_FROM = 10
"""Nights that a control chart takes as they are (`ccdcore.trends.control_chart`)."""


def trends(
    home: Path,
    *,
    quantity: str | None,
    since: datetime | None,
    until: datetime | None,
    plot: Path | None,
    **which: Any,
) -> Rows:
    """Return measurements, oldest first, and draw them where a picture is asked for."""
    _require_quantity(quantity)
    with read_home(home).read_session() as session:
        rows = history.trends(session, quantity=quantity, since=_utc(since), until=_utc(until), **which)
    if plot is not None:
        _draw(rows, plot)
    return [row.as_dict() for row in rows]


def changes(
    home: Path, rows: Rows, *, since: datetime | None, until: datetime | None, superseded: bool = False, **which: Any
) -> list[str]:
    """Return the steps and drifts of the trends that some rows are of, a line each.

    A chart expects nothing before it has learnt from some nights: where there are no more, no array is made.
    """
    points = Counter((row["instrument"], row["configuration"], row["amplifier"], row["quantity"]) for row in rows)
    if not (since or until) and max(points.values(), default=0) <= _LEARNT_FROM:
        return []
    with read_home(home).read_session() as session:
        found = changes_on_record(session, **which)
    first, last = _utc(since), _utc(until)
    return [
        change_sentence(one)
        for one in found
        if (first is None or one.first_at >= first) and (last is None or one.first_at < last)
    ]


def compare(home: Path, first: date, second: date, *, quantity: str | None, **which: Any) -> Rows:
    """Return what two nights differ by.

    Raises
    ------
    SettingsError
        If nothing was measured on one of them.
    """
    _require_quantity(quantity)
    with read_home(home).read_session() as session:
        rows = compare_nights(session, first, second, quantity=quantity, **which)
        for night in (first, second) if not rows else ():
            if not history.trends(session, night=night, quantity=quantity, **which):
                todo = "see ccdwatch trends for nights, the first of their window"
                raise SettingsError(f"nothing of this was measured on the night {night}: {todo}")
    return [row.as_dict() for row in rows]


def frames(home: Path, *, since: datetime | None, until: datetime | None, **which: Any) -> Rows:
    """Return the frames on record, oldest first, and where their files disagree, in words."""
    opened = read_home(home)
    with opened.read_session() as session:
        rows = list_frames(session, since=_utc(since), until=_utc(until), **which)
    told = {one.frame_id: in_words(one) for one in current_disagreements(opened)}
    return [{**row.as_dict(), "disagreement": told.get(row.id)} for row in rows]


def masters(home: Path, *, kind: str | None, since: datetime | None, until: datetime | None, **which: Any) -> Rows:
    """Return the masters on record, in order of observation, their paths whole; masks only where they are asked for."""
    with read_home(home).read_session() as session:
        found = [one for one in list_masters(session, kind=kind, **which) if kind or one.kind != "mask"]
    first, last = _utc(since), _utc(until)
    rows = [
        one.as_dict()
        for one in found
        if (first is None or one.valid_from >= first) and (last is None or one.valid_from < last)
    ]
    return [{**row, "path": str(home / row["path"])} for row in rows]


def runs(home: Path, *, since: datetime | None, until: datetime | None, **which: Any) -> Rows:
    """Return the runs on record of the nights that begin, at noon UTC, in a half-open span of time, oldest first."""
    first, last = _utc(since), _utc(until)
    with read_home(home).read_session() as session:
        found = [(datetime.combine(one.night, time(12), UTC), one) for one in list_runs(session, **which)]
    return [
        one.as_dict() for begin, one in found if (first is None or begin >= first) and (last is None or begin < last)
    ]


def said(home: Path, *, are_notes: bool, instrument: str | None = None) -> Rows:
    """Return all notes, of an instrument or of all, or all marks, oldest first; also those that were taken back."""
    with read_home(home).read_session() as session:
        found = all_lines(session, are_notes=are_notes)
    return [{**line.as_dict(), "holds": holds} for line, holds in found if instrument in {None, line.of}]


def write_report(home: Path, instrument: str, *, month: date | None, output: Path | None) -> Path:
    """Write the report of an instrument on a month, the last whole one if none is given; return where."""
    from web.pages.monthly_report import monthly_report

    opened = read_home(home)
    wanted = month or now().date().replace(day=1) - timedelta(days=1)
    with opened.read_session() as session:
        page = monthly_report(
            session, instrument=instrument, month=wanted, base_url=web_url(opened.settings), now=now()
        )
    path = output or Path(f"{slug(instrument)}_{wanted:%Y-%m}.html")
    _write(path, page.encode(), begins=b"<!doctype html>")
    return path


def _write(path: Path, content: bytes, *, begins: bytes) -> None:
    """Write a file in the place of nothing, or of one of its kind that ccdwatch wrote.

    Raises
    ------
    SettingsError
        If something else has its name, or it cannot be written.
    """
    try:
        if os.path.lexists(path) and not _is_own(path, begins):
            raise SettingsError(f"{path}: is there already, and not written by ccdwatch: give another name")
        write_bytes(path, content)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written: {error.strerror}: give another name") from None


def _is_own(path: Path, begins: bytes) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(2048)
    return start.startswith(begins) and b"ccdwatch" in start


def print_provenance(home: Path, identifier: str, *, as_json: bool) -> None:
    """Print where something came from; the path of a file stands for what its bytes are."""
    with read_home(home).read_session() as session:
        tree = origins.provenance(session, sha256_of_path(identifier) or identifier)
    if as_json:
        print(json.dumps(tree, indent=2, allow_nan=False))  # noqa: T201 - the command line speaks here
        return
    from rich.console import Console
    from rich.tree import Tree

    top = Tree(identifier)
    _grow(top, tree)
    console = Console()
    Console(width=None if console.is_terminal else 1000, markup=False, highlight=False, emoji=False).print(top)


def sha256_of_path(identifier: str) -> str | None:
    """Return the SHA-256 of a file's bytes; None of what is no path, or of nothing that is there."""
    is_path = os.sep in identifier or Path(identifier).suffix != ""
    return file_sha256(identifier) if is_path and os.path.isfile(identifier) else None  # noqa: PTH113 - any text is given


def _grow(branch: Any, value: Any) -> None:
    pairs = value.items() if isinstance(value, dict) else enumerate(value, start=1)
    for name, below in pairs:
        if isinstance(below, dict | list) and below:
            _grow(branch.add(str(name)), below)
        else:
            branch.add(f"{name}: {below}")


def _draw(rows: list[history.TrendRow], path: Path) -> None:
    from flows.products.trends import trend_png

    if len({(row.quantity, row.unit) for row in rows}) != 1:
        raise SettingsError(f"{path}: a plot shows one quantity: type for example ccdwatch trends gain --plot {path}")
    _write(path, trend_png(rows), begins=b"\x89PNG\r\n")


def _require_quantity(quantity: str | None) -> None:
    if quantity is not None and quantity not in QUANTITIES:
        raise SettingsError(f"there is no quantity {quantity!r}: write one of {', '.join(QUANTITIES)}")


def _utc(when: datetime | None) -> datetime | None:
    return when and when.replace(tzinfo=UTC)
