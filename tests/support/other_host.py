"""Runs a command as on another host: with a host name, and if need be one processor, of its own.

    python -m tests.support.other_host NAME PROCESSOR COMMAND...     (PROCESSOR: its number, or - for all)

It adopts what its descendants leave behind, so that all processor time of this host is that of its processes, and
all of them end with it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil

_NEW_USER, _NEW_NAMES = 0x10000000, 0x04000000
_ADOPT = 36
"""PR_SET_CHILD_SUBREAPER."""


def main() -> int:
    """Take the name, run the command, wait for all that comes of it; return the command's status."""
    name, processor, *command = sys.argv[1:]
    if processor != "-":
        os.sched_setaffinity(0, {int(processor)})
    _take_name(name)
    _call("prctl", _ADOPT, 1, 0, 0, 0)
    process = subprocess.Popen(command)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: process.send_signal(number))
    status = 0
    with suppress(ChildProcessError):
        while True:
            pid, ended = os.wait()
            status = os.waitstatus_to_exitcode(ended) if pid == process.pid else status
    return status


def _take_name(name: str) -> None:
    """Enter a space of host names of its own; who is not root, by way of a space of users where he may do so."""
    ids = os.geteuid(), os.getegid()
    _call("unshare", _NEW_NAMES if ids[0] == 0 else _NEW_NAMES | _NEW_USER)
    if ids[0] != 0:
        Path("/proc/self/uid_map").write_text(f"{ids[0]} {ids[0]} 1")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/gid_map").write_text(f"{ids[1]} {ids[1]} 1")
    socket.sethostname(name)


def _call(function: str, *arguments: int) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


def all_of(pid: int) -> list[psutil.Process]:
    """Return a process and all that come of it, those that come of it in front."""
    try:
        process = psutil.Process(pid)
        return [*reversed(process.children(recursive=True)), process]
    except psutil.NoSuchProcess:
        return []


def processor_seconds(pid: int) -> float:
    """Return what a process and all that came of it have used, as far as somebody waited for them."""
    total = 0.0
    for process in all_of(pid):
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def cut_power(pid: int) -> None:
    """End a host at once: nothing of it can do anything any more when this returns."""
    processes = all_of(pid)
    for process in reversed(processes):
        with suppress(psutil.NoSuchProcess):
            process.suspend()  # so that nothing is begun by one while others are ended
    for process in {*processes, *all_of(pid)}:
        with suppress(psutil.NoSuchProcess):
            process.kill()


if __name__ == "__main__":
    sys.exit(main())
