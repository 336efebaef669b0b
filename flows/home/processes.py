"""Which process it is: told from any other of its number, whatever is done to the clock, and in containers too."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import psutil

_FIRST_SPACE = "pid:[4026531836]"
"""Linux's name of the space of process numbers that a machine begins with; containers have one of their own."""


def _host() -> str:
    """Return the name of this machine, and of the space of process numbers where it is not the machine's first.

    A process of another space is not seen from here, so that it is judged as one of another machine is.
    """
    name = socket.gethostname()
    try:
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - it leads to no path
    except OSError:
        return name
    return name if space == _FIRST_SPACE else f"{name} {space}"


HOST = _host()
"""Where the processes of this name are: for the record."""


def start_of(pid: int) -> float:
    """Return when a process started, as a number that no other process of this machine and number has.

    On Linux that is the seconds since the machine started, and a number of that start in front, for the clock may be
    set while a process runs; else the seconds since 1970.

    Raises
    ------
    psutil.NoSuchProcess
        If there is none of this number.
    """
    try:
        # The name, which is in brackets, may hold anything; the 20th field after it is the start, in ticks.
        ticks = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return psutil.Process(pid).create_time()
    return _boot() + int(ticks) / os.sysconf("SC_CLK_TCK")


@cache
def _boot() -> float:
    """Return a number of this start of the machine, so large that seconds are not lost beside it."""
    try:
        digits = Path("/proc/sys/kernel/random/boot_id").read_text()
        return int(digits[:5], 16) * 1e9
    except (OSError, ValueError):
        return 0.0


def own_start() -> float:
    """Return `start_of` this process."""
    return start_of(os.getpid())


def is_gone(pid: int, started: float) -> bool:
    """Whether the process of this number that started then (`start_of`) has ended on this machine."""
    try:
        # One that ended keeps its number until its parent asks for its status.
        return abs(start_of(pid) - started) > 1 or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def user() -> str:
    """Return the operating system's name of the user that this process is of."""
    return psutil.Process().username()


def now() -> datetime:
    """Return the time, in UTC: the only clock that is written to the record."""
    return datetime.now(UTC)
