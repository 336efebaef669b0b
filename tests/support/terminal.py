"""A terminal of 80 columns and 24 rows, as people have it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import skip_or_fail
from tests.support.pace import LONG

COLUMNS, ROWS = 80, 24
CCDWATCH = Path(sys.executable).with_name("ccdwatch")


@dataclass(frozen=True)
class Terminal:
    """A pane of tmux, known by its socket."""

    socket: Path

    def type(self, line: str) -> list[str]:
        """Type a command; return what is seen of it when it is done: the last lines, each as wide as the terminal."""
        number = time.monotonic_ns()  # the mark of the command before is still there
        mark = f"the-end-{number}"
        self.tmux("send-keys", f"clear; {line}; echo 'the-end'-{number}", "Enter")  # the line itself has no mark in it
        end = time.monotonic() + LONG
        while time.monotonic() < end:
            lines = [one.rstrip() for one in self.tmux("capture-pane", "-p").splitlines()]
            if mark in lines:
                return lines[: lines.index(mark)]
            time.sleep(0.1)
        raise AssertionError(lines)

    def tmux(self, *words: str) -> str:
        """Give tmux a command; return what it answers."""
        command = ["tmux", "-S", str(self.socket), "-f", "/dev/null", *words]
        environment = {**os.environ, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
        for name in ("FORCE_COLOR", "COLUMNS"):
            environment.pop(name, None)
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


@contextmanager
def running_terminal(folder: Path) -> Iterator[Terminal]:
    """Start a terminal whose socket lies in a folder; skip the test where there is no tmux."""
    terminal = Terminal(folder / "socket")
    try:
        terminal.tmux("-V")
    except OSError:
        skip_or_fail("tmux", "no tmux on this machine: install Debian's package tmux")
    terminal.tmux("-u", "new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), "bash --norc")
    try:
        yield terminal
    finally:
        terminal.tmux("kill-server")
