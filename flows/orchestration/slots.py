"""Slots for the heavy part of calibrations: as many sets at a time as a machine has room for, or a cluster has threads.

Each machine has slots of its own: their locks lie in the home, which may be on several machines, under its name.

Who is at work there shows by the runs on record; of work that is on record frame by frame only, a note lies beside.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from flows.home.output_paths import slug
from flows.home.processes import HOST, start_of
from flows.runs.memory import allowance

SLOTS = max(2, (os.cpu_count() or 2) // 2)
"""Sets that are measured and combined at the same time: each may take a processor and half a gigabyte."""
FOLDER = ".seats"
"""Of their locks, in the home."""
_CLUSTER = ".cluster"
"""No machine has slots of that name."""
_NOTE = ".note"


@contextmanager
def slot(home: Path, n_bytes: int = 0) -> Iterator[None]:
    """Wait for a slot of this machine and hold it; one whose process is killed is free at once.

    Parameters
    ----------
    home : Path
        The home.
    n_bytes : int
        Memory that is needed: where it is not there as often as there are slots, those that need so much share fewer.
    """
    n_slots = max(1, min(SLOTS, allowance().n_bytes // n_bytes)) if n_bytes else SLOTS
    # A container that has the machine's name has its slots.
    with _one_of(n_slots, home / FOLDER / slug(HOST.partition(" ")[0])):
        yield


@contextmanager
def cluster_slot(home: Path, n_threads: int) -> Iterator[None]:
    """Wait until one of so many threads elsewhere has no set of this home, and hold that; it is shared by all machines.

    So sets are finished one after another, rather than all begun and none finished.
    """
    with _one_of(n_threads, home / FOLDER / _CLUSTER):
        yield


@contextmanager
def _one_of(n_slots: int, folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    locks = [FileLock(folder / str(number), timeout=0) for number in range(n_slots)]
    while (held := next(filter(_is_taken, locks), None)) is None:
        time.sleep(0.1)
    with suppress(OSError):  # a full disk
        _holder_of(Path(held.lock_file)).write_text(_this_process(os.getpid()))
    try:
        yield
    finally:
        held.release()


def _this_process(pid: int) -> str:
    return f"{HOST} {pid}"


@dataclass(frozen=True, slots=True)
class Note:
    """Of work under way that no run on record tells of.

    Parameters
    ----------
    flow_run_id, name : str
        What is done, for Prefect and in words.
    n_pixels : int
        Of the frames that it works on.
    host, pid, started : str, int, float
        Where the process is (`flows.home.processes.HOST`), its number, and its start in seconds since 1970.
    """

    flow_run_id: str
    name: str
    n_pixels: int
    host: str
    pid: int
    started: float


@contextmanager
def noted(home: Path, flow_run_id: str, name: str, *, n_pixels: int) -> Iterator[None]:
    """Let it be known that this process is at work, so that it is seen where it stands still; it is a `Note` of it."""
    note = Note(flow_run_id, name, n_pixels, HOST, os.getpid(), start_of(os.getpid()))
    with suppress(OSError):  # a full disk
        _file_of(home, flow_run_id).write_text(json.dumps(asdict(note)))
    try:
        yield
    finally:
        forget(home, flow_run_id)


def notes(home: Path) -> list[Note]:
    """Return what was noted on this machine and not forgotten since, also of processes that were killed."""
    found = []
    for file in (home / FOLDER).glob(f"*{_NOTE}"):
        with suppress(OSError, ValueError, TypeError):  # it goes, or is being written
            found.append(Note(**json.loads(file.read_text())))
    return [one for one in found if one.host == HOST]


def forget(home: Path, flow_run_id: str) -> None:
    """Forget work that is over."""
    with suppress(OSError):
        _file_of(home, flow_run_id).unlink()


def _file_of(home: Path, flow_run_id: str) -> Path:
    return home / FOLDER / f"{flow_run_id}{_NOTE}"


def free_slot_of(home: Path, pid: int) -> None:
    """Let others have the slot of a process that cannot be ended: it keeps the old file, they lock a new one."""
    for holder in (home / FOLDER).glob("*/*.pid"):
        with suppress(OSError):
            if holder.read_text() == _this_process(pid):
                holder.unlink()
                holder.with_suffix("").unlink(missing_ok=True)


def _holder_of(slot: Path) -> Path:
    """Return the file that says which process sits there; a lock's own file is emptied by all who try it."""
    return slot.with_suffix(".pid")


def _is_taken(lock: FileLock) -> bool:
    """Take a lock; return whether that went well."""
    try:
        lock.acquire()
    except Timeout:
        return False
    return True
