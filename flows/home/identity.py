"""Which home it is: a mark in the folder and in its database, so that neither is taken for another one."""

from __future__ import annotations

import os
import re
import socket
import uuid
from collections.abc import Collection
from pathlib import Path

from sqlalchemy import Engine

from ccdcore.io.write import write_bytes
from ccdcore.text import number_of
from db.engine import is_blank, session_factory
from db.files.homes import HomeOnRecord, home_on_record, record_home
from db.runs.masters import master_paths
from flows.config.errors import SettingsError
from flows.config.settings import Settings
from flows.home.output_paths import run_of_master

MARK_NAME = ".home"
MARK_VARIABLE = "CCDWATCH_HOME_MARK"
"""Tells the parts of a service which mark the home had when it began."""

_TEXT = """{mark}
By this number the database of ccdwatch knows that this is its home. Keep the file.
"""


class HomeAwayError(SettingsError):
    """The home is not the one that it was: its disk is not mounted, or something else is."""


def mark_of(home: Path) -> str | None:
    """Return the mark of a home; None where it has none, or is not there."""
    try:
        match = re.match(r"[0-9a-f]{32}\b", (home / MARK_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return match and match[0]


def words_of_away(home: Path) -> str:
    """Say that a home is not the one that it was."""
    return f"{home} is not the home that it was: is its disk mounted? Work waits until it is back"


def require_the_same(home: Path) -> None:
    """Make sure that a home is the one that the service began with which this process is part of.

    Raises
    ------
    HomeAwayError
        If it is not.
    """
    mark = os.environ.get(MARK_VARIABLE)
    if mark and os.environ.get("CCDWATCH_HOME") == str(home) and mark_of(home) != mark:
        raise HomeAwayError(words_of_away(home))


def require_record(settings: Settings, engine: Engine | None) -> None:
    """Make sure that no empty database is taken for the record of a home that has masters.

    Parameters
    ----------
    engine : Engine or None
        The database; None where there is none yet.

    Raises
    ------
    SettingsError
        If it would be.
    """
    if (engine is None or is_blank(engine)) and (n := _n_masters(settings.home)):
        raise SettingsError(_unknown(settings, n))


def tie_to_database(settings: Settings, engine: Engine) -> str:
    """Make sure that a home and its database belong to each other, tie them where they are new; return the mark.

    Raises
    ------
    SettingsError
        If the database belongs to another home, or knows none of the masters that are there.
    """
    mark = known(settings, engine)
    with session_factory(engine, read_only=True)() as session:
        row = home_on_record(session)
    if row is None or row.path != str(settings.home):
        host = settings.host if row is None else row.host
        row = _record(settings, engine, mark or uuid.uuid4().hex, host, anew=row is not None)
    if row.mark != mark_of(settings.home):
        _write_mark(settings.home, row.mark)
    return row.mark


def known(settings: Settings, engine: Engine) -> str | None:
    """Return the mark of a home whose database it is; None where they are not tied yet. Raises as `tie_to_database`."""
    with session_factory(engine, read_only=True)() as session:
        row = home_on_record(session)
    mark = mark_of(settings.home)
    if row is None:
        if (n := _n_masters(settings.home)) and not _n_masters(settings.home, _paths(engine)):
            raise SettingsError(_unknown(settings, n))
        return mark
    if problem := _problem(settings, row, mark):
        raise problem
    return row.mark


def _paths(engine: Engine) -> set[str]:
    with session_factory(engine, read_only=True)() as session:
        return master_paths(session)


def adopt(settings: Settings, engine: Engine) -> None:
    """Tie a home and its database to each other, whatever they belonged to before."""
    mark = mark_of(settings.home) or uuid.uuid4().hex
    with session_factory(engine, read_only=True)() as session:
        row = home_on_record(session)
    _record(settings, engine, mark, row.host if row else settings.host, anew=True)
    _write_mark(settings.home, mark)


def _record(settings: Settings, engine: Engine, mark: str, host: str, *, anew: bool) -> HomeOnRecord:
    home = HomeOnRecord(mark, str(settings.home), socket.gethostname(), host)
    with session_factory(engine).begin() as session:
        return record_home(session, home, anew=anew)


def _write_mark(home: Path, mark: str) -> None:
    try:
        write_bytes(home / MARK_NAME, _TEXT.format(mark=mark).encode())
    except OSError as error:
        raise SettingsError(
            f"{home / MARK_NAME}: cannot be written: {error.strerror}: make the home writable"
        ) from None


def _problem(settings: Settings, row: HomeOnRecord, mark: str | None) -> SettingsError | None:
    """Return why a database is not that of a home; None where it is."""
    home, is_inside = settings.home, _is_inside(settings)
    to_adopt = f"type ccdwatch db adopt --home {home}"
    if row.mark == mark:
        if is_inside or row.path == str(home):
            return None
        if row.machine == socket.gethostname():
            old = Path(row.path)
            if mark_of(old) != row.mark or old.samefile(home):
                return None  # it was moved
            return SettingsError(
                f"{home}: is a copy of {old}, and the database belongs to that: give the copy a database of its own"
                f" with [database] url, or remove {old / MARK_NAME} and {to_adopt}"
            )
    elif mark is None and is_inside:
        return None  # a copy of the database was restored
    elif mark is None and row.path == str(home):
        return HomeAwayError(
            f"{home}: {MARK_NAME} is not there, by which the database knows its home: is the disk mounted? If it is,"
            f" {to_adopt}"
        )
    return SettingsError(
        f"{home}: the database belongs to another home, {row.path} on {row.machine}: correct [database] url, or, if"
        f" that home is here now, {to_adopt}"
    )


def _unknown(settings: Settings, n: int) -> str:
    masters = f"{settings.home / 'masters'} holds {number_of(n, 'master')}"
    return (
        f"{masters}, and the database knows none of them: is [database] url right, or was the database emptied? Restore"
        f" a copy of it, or, to begin a new record beside what is there, type ccdwatch db adopt --home {settings.home}"
    )


def _is_inside(settings: Settings) -> bool:
    """Whether the database is a file in the home, which goes where the home goes."""
    path = settings.database_path
    return path is not None and path.is_relative_to(settings.home)


def _n_masters(home: Path, known: Collection[str] | None = None) -> int:
    """Count the files in ``masters/`` that have names of masters, and are among those known, where any are given."""
    found = (Path(top) / name for top, _, names in os.walk(home / "masters") for name in names)
    masters = (path for path in found if path.suffix == ".fits" and run_of_master(path.name) is not None)
    return sum(known is None or path.relative_to(home).as_posix() in known for path in masters)
