"""Whether the files of a run hold what is on record of them, from before its first look to its release."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ccdcore.errors import ChangedFrameError, FrameReadError
from ccdcore.io.plain_files import file_sha256
from db.files import ledger
from db.files.raw_inputs import RawInput, raw_inputs, record_signatures
from flows.home.home import Home
from flows.home.processes import now
from flows.runs.run import Run
from flows.watching.directory_tree import sighting

GONE = "its file is gone: deleted, moved, or not mounted"


def verify_inputs(run: Run) -> None:
    """Hold every file that a run is about to read against its SHA-256 on record, and note what it is like.

    So a changed byte is found whatever the file's size and times say. A changed file is put back among those that
    are to be read; until then its frame is in no set.

    Raises
    ------
    ChangedFrameError
        If one is not what it was: the run is to be made again.
    """
    with run.home.read_session() as session:
        inputs = raw_inputs(session, run.id)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        looks = list(threads.map(_look, inputs))
    changed = [look for look in looks if isinstance(look, ChangedFrameError)]
    if changed:
        _read_again(run.home, [error.path for error in changed])
        raise changed[0]
    found = {one.path: str(look) for one, look in zip(inputs, looks, strict=True)}
    with run.home.write_session() as session:
        record_signatures(session, run.id, found)


def require_unchanged(run: Run) -> None:
    """Make sure that no file was touched since `verify_inputs`, so that all that was read is what it verified.

    Raises
    ------
    ChangedFrameError
        If one was: the run is to be made again.
    """
    if changed := changed_input(run.home, run.id):
        raise changed


def changed_input(home: Home, run_id: int) -> ChangedFrameError | None:
    """Return what is wrong with a file that was touched since `verify_inputs`; None where none was."""
    with home.read_session() as session:
        inputs = raw_inputs(session, run_id)
    for one in inputs:
        if one.signature is not None and (found := _signature(one.path)) != one.signature:
            how = "gone" if found is None else "written to, or replaced,"
            return ChangedFrameError(one.path, one.file_sha256 or "", f"it was {how} while the run was at work")
    return None


def _look(one: RawInput) -> str | ChangedFrameError:
    """Return the signature of a file whose bytes are those on record."""
    before = _signature(one.path)
    try:
        found = file_sha256(one.path)
    except FrameReadError as error:
        return ChangedFrameError(one.path, one.file_sha256 or "", error.reason)
    if found != one.file_sha256 or before is None or _signature(one.path) != before:
        return ChangedFrameError(one.path, one.file_sha256 or "", found)
    return before


def _signature(path: Path) -> str | None:
    """Return inode, size and times of a file; that of its status cannot be set back."""
    try:
        status = path.stat()
    except OSError:
        return None
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def _read_again(home: Home, paths: list[Path]) -> None:
    """Put files back among those that are to be read; what is gone stays on record as it is."""
    with home.write_session() as session:
        for file in ledger.files_named(session, paths, host=home.settings.host):
            try:
                status = file.path.stat()
            except OSError:
                continue
            ledger.read_again(session, file.id, sighting(file.root, file.relative_path, status), now=now())
