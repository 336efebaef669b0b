"""What runs that were cut short left in the home: removed where it is certainly theirs, named where it may not be.

A home is a folder like any other: people put things there, and links lead elsewhere.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from ccdcore.io.plain_files import folder_below, open_in
from ccdcore.text import number_of
from db.runs.masters import MasterRow, forget_master, master_paths, run_masters
from db.runs.runs import RunRow, open_runs, runs_cut_short
from db.schema.models import Outcome
from flows.home.home import Home
from flows.home.output_paths import master_folder, run_of_master
from flows.home.processes import now

GRACE = timedelta(hours=1)
"""For so long nothing is removed: a process that was believed to be gone may still be at it."""


def remove_leftovers(home: Home, at: datetime) -> list[str]:
    """Remove what runs that were cut short left below ``masters/``; return that in words.

    That is their temporary files, by name and place, and of runs that will be made again the masters on their record,
    by name, place and SHA-256. Only regular files go, and only some time after they and the run were last heard of.
    """
    with home.read_session() as session:
        cut_short = runs_cut_short(session, before=at - GRACE)
        of_runs = [
            (run, run_masters(session, run.id) if run.outcome is not Outcome.FAILED else []) for run in cut_short
        ]
    removed = [name for run, rows in of_runs for name in _remove_of(home, run, rows, at)]
    return [f"{name} was left by a run that was cut short, and removed" for name in removed]


def _remove_of(home: Home, run: RunRow, rows: list[MasterRow], at: datetime) -> list[str]:
    below, removed = master_folder(run.instrument, run.night), []
    with suppress(OSError), folder_below(home.path, below) as folder:  # not there, or reached by a link
        names = os.listdir(folder)  # noqa: PTH208 - of a descriptor
        passing = {name: None for name in names if name.startswith(".") and run_of_master(name) == run.id}
        recorded = {Path(row.path).name: row.sha256 for row in rows if Path(row.path).parent == below}
        removed = [
            name for name, sha256 in {**passing, **recorded}.items() if remove_ours(folder, name, at, sha256=sha256)
        ]
    for row in rows:
        if not os.path.lexists(home.path / row.path):
            with home.write_session() as session:
                forget_master(session, row.id)
    return [(below / name).as_posix() for name in removed]


def remove_ours(folder: int, name: str, at: datetime, *, sha256: str | None = None) -> bool:
    """Remove a regular file of ours that is not new, and of these bytes; return whether it was such a one.

    Parameters
    ----------
    folder, name : int, str
        Descriptor of its folder, and its name there.
    at : datetime
        Now.
    sha256 : str, optional
        Of its bytes; any without it.
    """
    try:
        with open_in(folder, name) as file:
            status = os.fstat(file.fileno())
            is_new = max(status.st_mtime, status.st_ctime) > (at - GRACE).timestamp()
            if is_new or status.st_uid != os.geteuid():
                return False
            if sha256 is not None and hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                return False
            os.unlink(name, dir_fd=folder)
    except OSError:
        return False
    return True


def files_below(home: Path, folder: str) -> Iterator[Path]:
    """Give all that is below a folder of a home and is no folder itself; links are given, and not followed."""
    for top, folders, names in os.walk(home / folder):
        yield from (Path(top) / name for name in names)
        yield from (Path(top) / name for name in folders if (Path(top) / name).is_symlink())


def unregistered(home: Home) -> list[Path]:
    """Return what is below ``masters/`` and on no record, but for what runs under way or cut short have not named."""
    # Listed first: what a run that begins now writes is not in it.
    found = sorted(files_below(home.path, "masters"))
    with home.read_session() as session:
        known = master_paths(session)
        runs = {run.id for run in [*open_runs(session), *runs_cut_short(session, before=now())]}

    def is_known(path: Path) -> bool:
        passing = path.name.startswith(".") and run_of_master(path.name) in runs and not path.is_symlink()
        return passing or path.relative_to(home.path).as_posix() in known

    return [path for path in found if not is_known(path)]


def words_of_unregistered(home: Home) -> list[str]:
    """Say that there are masters which no record knows, as after an older copy of the database was restored."""
    names = [path for path in unregistered(home) if path.suffix == ".fits" and run_of_master(path.name) is not None]
    if not names:
        return []
    what = f"{number_of(len(names), 'master')} in {home.path / 'masters'}"
    return [f"{what}: on no record (is the database an older copy?); kept as they are: ccdwatch audit names them"]
