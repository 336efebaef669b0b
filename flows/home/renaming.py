"""A machine that got another name: its files are on record under the old one, and are not found by the new one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from ccdcore.text import number_of
from db.files.homes import (
    files_by_host,
    files_of_host,
    home_on_record,
    record_home,
    rename_host,
    rename_machine_of_runs,
)
from db.files.ledger import FileRow
from flows.config.errors import SettingsError
from flows.home.home import Home
from flows.home.processes import HOST


def words_of_renamed(home: Home) -> list[str]:
    """Say that the files of a home are on record under another name than that of this machine; nothing, if not."""
    with home.read_session() as session:
        row, files = home_on_record(session), files_by_host(session)
    if row is None or row.host == home.settings.host or not files.get(row.host):
        return []
    return [
        f"{number_of(files[row.host], 'file')} on record under {row.host}, but this machine is {home.settings.host}, so"
        f" that they are not looked at: if it was renamed, type ccdwatch db rename-host {row.host}"
    ]


def words_of_others(home: Home) -> list[str]:
    """Say how many files are on record under names of other machines, and so are not looked at from here."""
    with home.read_session() as session:
        others = {host: n for host, n in files_by_host(session).items() if host != home.settings.host}
    return [f"{number_of(n, 'file')} of {host} not looked at from here" for host, n in sorted(others.items())]


def rename_files(home: Home, old: str) -> Iterator[str]:
    """Put the files of another name that are here under the name of this machine; say which were not.

    Raises
    ------
    SettingsError
        If nothing is on record under that name.
    """
    new = home.settings.host
    with home.read_session() as session:
        files, names, row = files_of_host(session, old), files_by_host(session), home_on_record(session)
    if not files and (row is None or row.host != old):
        known = ", ".join(sorted(names)) or "nothing is on record"
        raise SettingsError(f"no file is on record under {old}: give one of {known}")
    if old == new:
        raise SettingsError(f"this machine is {new} already: nothing is to be renamed")
    here = [file.id for file in files if _is_here(file)]
    with home.write_session() as session:
        n = rename_host(session, here, old=old, new=new)
        rename_machine_of_runs(session, old=old, new=HOST)
        if row is not None and row.host == old:
            record_home(session, replace(row, host=new), anew=True)
    left = Counter({"not here as on record": len(files) - len(here), f"on record under {new} too": len(here) - n})
    yield f"{number_of(n, 'file')} on record under {new} now"
    yield from (f"{number_of(k, 'file')} left under {old}: {why}" for why, k in left.items() if k)


def _is_here(file: FileRow) -> bool:
    """Whether a file lies where it is on record, of the same size."""
    try:
        return file.path.stat().st_size == file.size
    except (OSError, ValueError):
        return False
