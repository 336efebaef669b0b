"""The processes that `up` looks after: kept alive, and ended with all that they started."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import psutil

from flows.retries import PROCESS

STOP_SECONDS = 4.0
KILL_SECONDS = 1.0
LARGEST_LOG = 10 * 2**20


@dataclass
class SupervisedProcess:
    """A process that is started again when it ends, after the pauses of `flows.retries.PROCESS`.

    Parameters
    ----------
    name : str
        Its name in what is said of it.
    command : list of str
        What to start.
    environment : mapping
        Its whole environment.
    log : Path
        Where its output goes.
    """

    name: str
    command: list[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    _failures: int = 0
    _start_at: float = 0.0

    @property
    def runs_for(self) -> float:
        """How many seconds it has been running; 0 where it does not."""
        return time.monotonic() - self._start_at if self.process is not None else 0.0

    def keep_alive(self, say: Callable[[str], None]) -> None:
        """Start it where it does not run, unless it is pausing."""
        now = time.monotonic()
        if self.process is not None and self.process.poll() is not None:
            status = self.process.returncode
            was_well = now - self._start_at > PROCESS.longest_s
            self._failures = 1 if was_well else self._failures + 1
            pause = PROCESS.after(self._failures)
            say(f"{self.name} ended with status {status}; started again in {pause:g} s: see {self.log}")
            self.process = None
            self._start_at = now + pause
        if self.process is None and now >= self._start_at:
            self._start()

    def kill(self, say: Callable[[str], None], why: str) -> None:
        """End it, so that it is started again; what hangs in the kernel may take its time."""
        if self.process is not None:
            say(f"{self.name} {why} and is ended: see {self.log}")
            self.process.kill()
            self._start_at = time.monotonic()

    def _start(self) -> None:
        self._start_at = time.monotonic()
        with self._open_log() as output:
            self.process = subprocess.Popen(
                self.command,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches `up` alone, which then stops its processes in order
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - `up` has no threads
            )

    def _open_log(self) -> BinaryIO:
        """Open the log, or what swallows everything where there is no room for one."""
        try:
            if self.log.exists() and self.log.stat().st_size > LARGEST_LOG:
                self.log.replace(self.log.with_suffix(".log.1"))
            return self.log.open("ab")
        except OSError:
            return Path(os.devnull).open("ab")


def stop(processes: Sequence[SupervisedProcess]) -> None:
    """End every process and all that it started: politely, and after a few seconds for good.

    The first one is the one that the others need: it ends after them, and so hears how they ended.
    """
    _end(processes[1:])
    _end(processes[:1])


def _end(processes: Sequence[SupervisedProcess]) -> None:
    running = [one.process for one in processes if one.process is not None]
    family: set[psutil.Process] = set()
    for process in running:
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(process.pid)
            family |= {parent, *parent.children(recursive=True)}
    for process in running:
        process.terminate()
    _wait(family, STOP_SECONDS)
    for straggler in filter(_is_alive, family):
        with suppress(psutil.NoSuchProcess):
            straggler.kill()
    _wait(family, KILL_SECONDS)


def _wait(family: Iterable[psutil.Process], seconds: float) -> None:
    end = time.monotonic() + seconds
    while any(map(_is_alive, family)) and time.monotonic() < end:
        time.sleep(0.05)


def _is_alive(process: psutil.Process) -> bool:
    """Whether it can still do something: one that nobody has asked for its status yet cannot."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _end_with_parent() -> None:
    """Ask Linux to end this child at once when `up` itself is killed: the next `up` finds its port free."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
