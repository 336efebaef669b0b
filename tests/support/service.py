"""The whole service as its users start it: a subprocess of its own, on a free port, with a home of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import psutil
from sqlalchemy import select

from ccdcore.headers.instrument import FrameType
from db.runs.inputs import run_inputs
from db.runs.runs import RunOnRecord, list_runs
from db.schema.models import File, FileState
from flows.home.home import Home, read_home
from flows.prefect_server.password import password_file
from tests.support.pace import LONG

COMMAND = (sys.executable, "-m", "flows.cli.main")


def wait_for(what: Callable[[], Any], *, seconds: float, every: float = 0.1) -> Any:
    """Ask again and again until the answer is true; return it, or the last one when time is up."""
    end = time.monotonic() + seconds
    while not (answer := what()) and time.monotonic() < end:
        time.sleep(every)
    return answer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ccdwatch(home: Path, *words: object, seconds: float = LONG) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    environment = {**os.environ, "CCDWATCH_HOME": str(home)}
    return subprocess.run(
        [*COMMAND, *map(str, words)], env=environment, capture_output=True, text=True, timeout=seconds, check=False
    )


def kill(processes: list[psutil.Process]) -> None:
    """End processes at once, as a power cut would, and see that they are gone."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    assert wait_for(lambda: not any(map(is_alive, processes)), seconds=LONG)


def is_alive(process: psutil.Process) -> bool:
    """Whether a process can still do something: one that only waits to be asked for its status cannot."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@dataclass
class Service:
    """`ccdwatch up` on a home that watches ``incoming`` beside it.

    Parameters
    ----------
    directory : Path
        Holds the home, what is watched, and a place outside of it.
    settle_seconds : float
        As in ``[watch]``.
    command : tuple of str
        What ``ccdwatch`` is.
    """

    directory: Path
    settle_seconds: float = 3.0
    port: int = field(default_factory=free_port)
    web_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    ready_at: datetime | None = None
    command: tuple[str, ...] = COMMAND

    def __post_init__(self) -> None:
        for path in (self.home, self.incoming, self.outside):
            path.mkdir(parents=True, exist_ok=True)
        (self.home / "ccdwatch.toml").write_text(f"[watch]\nsettle_seconds = {self.settle_seconds}\n")

    @property
    def home(self) -> Path:
        return self.directory / "home"

    @property
    def incoming(self) -> Path:
        return self.directory / "incoming"

    @property
    def outside(self) -> Path:
        """A place on the same file system that nobody watches."""
        return self.directory / "outside"

    @property
    def log(self) -> Path:
        return self.directory / "up.log"

    def start(self, *, within: float = LONG) -> float:
        """Start it and wait until it is ready; return how many seconds that took."""
        began = time.monotonic()
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [
                    *self.command,
                    "up",
                    "--watch",
                    self.incoming,
                    "--port",
                    str(self.port),
                    "--web-port",
                    str(self.web_port),
                ],
                env={**os.environ, "CCDWATCH_HOME": str(self.home)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        ready = wait_for(lambda: self._is_ready() or self.process.poll() is not None, seconds=within)
        assert ready, f"not ready after {within} s\n{self.said()}"
        assert self.process.poll() is None, self.said()
        self.ready_at = datetime.now(UTC)
        return time.monotonic() - began

    def _is_ready(self) -> bool:
        try:
            stated = json.loads((self.home / "service.json").read_text())
        except FileNotFoundError:
            return False
        return self.process is not None and stated["pid"] == self.process.pid

    def stop(self) -> float:
        """End it by SIGTERM; return how many seconds that took, having seen that nothing is left of it."""
        assert self.process is not None
        family = self.family()
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=LONG)
        took = time.monotonic() - began
        assert status == 0, self.said()
        assert not self.family()
        assert not [process for process in family if is_alive(process)]
        self.process = None
        return took

    def family(self) -> list[psutil.Process]:
        """Return every process of this home, whoever its parent is by now."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("CCDWATCH_HOME") == str(self.home):
                    found.append(process)
        return found

    def part(self, name: str) -> psutil.Process:
        """Return a part by a word of its command line: ``uvicorn``, ``serve`` or ``watch``."""
        assert self.process is not None
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if name in child.cmdline())

    def crash(self) -> None:
        """End all of it at once, as a power cut would."""
        assert self.process is not None
        kill(self.family())
        self.process.wait()
        self.process = None

    def said(self) -> str:
        """Return what it said, and the ends of its parts' logs: for messages."""
        logs = [self.log, *sorted((self.home / "logs").glob("*.log"))]
        return "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in logs if path.exists())

    @cached_property
    def on_record(self) -> Home:
        """What its database says."""
        return read_home(self.home)

    def runs(self, instrument: str) -> list[RunOnRecord]:
        """Return all runs of an instrument, oldest first."""
        with self.on_record.read_session() as session:
            return list_runs(session, instrument=instrument, superseded=True)

    def frames_used(self, run: RunOnRecord) -> int:
        """Return how many frames a run looked at."""
        with self.on_record.read_session() as session:
            return len({one.frame.sha256 for one in run_inputs(session, run.id) if one.role in set(FrameType)})

    def done(self, instrument: str, n_frames: int) -> RunOnRecord | None:
        """Return the finished run of an instrument that saw so many frames, and whose result stands."""
        finished = [run for run in self.runs(instrument) if run.outcome == "done" and not run.superseded]
        return next((run for run in finished if self.frames_used(run) == n_frames), None)

    def wait_until_done(self, instrument: str, n_frames: int, *, seconds: float = LONG) -> RunOnRecord:
        """Wait for that run."""
        run = wait_for(lambda: self.done(instrument, n_frames), seconds=seconds)
        assert run is not None, f"{self.runs(instrument)}\n{self.said()}"
        return run

    def files(self, state: FileState, *, below: str) -> list[File]:
        """Return the files on the ledger that are in a state, of one folder of what is watched."""
        here = File.state == state, File.relative_path.startswith(f"{below}/")
        with self.on_record.read_session() as session:
            return list(session.scalars(select(File).where(*here)))

    def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Ask the Prefect API; return whatever it answers."""
        user, password = password_file(self.home).read_text().strip().split(":")
        url = f"http://127.0.0.1:{self.port}/api{path}"
        return httpx.request(method, url, json=body, auth=(user, password), timeout=LONG)

    def prefect(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the Prefect API, again while its database is too busy; return what it knows."""
        response = self.ask(method, path, body)
        for _ in range(10):
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            time.sleep(1)
            response = self.ask(method, path, body)
        response.raise_for_status()
        return response.json()
