"""The processes that `up` looks after: kept alive, and ended with all that they started."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

STOP_SECONDS = 6.0
LONGEST_PAUSE_SECONDS = 30.0
LARGEST_LOG = 10 * 2**20


@dataclass
class Part:
    """One supervised process: started again when it ends, after a pause that doubles up to half a minute.

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
    _pause: float = 0.5
    _next_start: float = 0.0

    def keep_alive(self, say: Callable[[str], None]) -> None:
        """Start it where it does not run, unless it is pausing."""
        now = time.monotonic()
        if self.process is not None and self.process.poll() is not None:
            status = self.process.returncode
            say(f"{self.name} ended with status {status}; started again in {self._pause:g} s: see {self.log}")
            self.process = None
            self._next_start = now + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        if self.process is None and now >= self._next_start:
            self._start()

    def _start(self) -> None:
        if self.log.exists() and self.log.stat().st_size > LARGEST_LOG:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches `up` alone, which then stops its parts in order
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - `up` has no threads
            )


def stop(parts: Sequence[Part]) -> None:
    """End every part and all that it started: politely, and after a few seconds for good."""
    running = [part.process for part in parts if part.process is not None]
    family: set[psutil.Process] = set()
    for process in running:
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(process.pid)
            family |= {parent, *parent.children(recursive=True)}
    for process in reversed(running):  # the watcher first, the server last: nothing new begins
        process.terminate()
    _, alive = psutil.wait_procs(list(family), timeout=STOP_SECONDS)
    for straggler in alive:
        with suppress(psutil.NoSuchProcess):
            straggler.kill()
    psutil.wait_procs(alive, timeout=2)


def _end_with_parent() -> None:
    """Ask Linux to end this child when `up` itself is killed, so that no part is left without its supervisor."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
