"""`up`: the whole service of a home on one machine, started, supervised and stopped as one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import psutil
from filelock import FileLock, Timeout

from flows.prefect_api import PrefectApi, prefect_environment
from flows.settings import Settings, SettingsError

HOST = "127.0.0.1"
STOP_SECONDS = 6.0
LONGEST_PAUSE_SECONDS = 30.0
LARGEST_LOG = 10 * 2**20


@dataclass(frozen=True, slots=True)
class RunningService:
    """Where the service of a home can be reached: what ``service.json`` holds."""

    pid: int
    prefect_api_url: str
    prefect_ui_url: str


def lock(home: Path) -> FileLock:
    """Take the lock of a home: one service a home.

    Raises
    ------
    SettingsError
        If another service holds it.
    """
    held = FileLock(home / ".lock", timeout=0)
    try:
        held.acquire()
    except Timeout:
        running = running_service(home)
        where = f" at {running.prefect_ui_url} (pid {running.pid})" if running else ""
        raise SettingsError(
            f"{home}: a service already runs on this home{where}: stop it, or give another --home"
        ) from None
    return held


def running_service(home: Path) -> RunningService | None:
    """Return the service that runs on a home, or None."""
    try:
        service = RunningService(**json.loads((home / "service.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return service if psutil.pid_exists(service.pid) else None


@dataclass
class _Part:
    """One supervised process: started again when it ends, after a pause that doubles up to half a minute."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    pause: float = field(default=0.5)
    next_start: float = field(default=0.0)

    def keep_alive(self, say: Callable[[str], None]) -> None:
        now = time.monotonic()
        if self.process is not None and self.process.poll() is not None:
            status = self.process.returncode
            say(f"{self.name} ended with status {status}; started again in {self.pause:g} s: see {self.log}")
            self.process = None
            self.next_start = now + self.pause
            self.pause = min(2 * self.pause, LONGEST_PAUSE_SECONDS)
        if self.process is None and now >= self.next_start:
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


def up(settings: Settings, *, port: int, say: Callable[[str], None]) -> None:
    """Run the service of a home until SIGTERM or SIGINT.

    Parameters
    ----------
    settings : Settings
        The home's configuration.
    port : int
        Port of the Prefect server and its UI.
    say : callable
        Takes lines for the person who looks on.

    Raises
    ------
    SettingsError
        If another service runs on the home or the port is taken.
    """
    home = settings.home
    with lock(home):
        _require_free(port)
        stop = Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        parts = _parts(
            home, settings.prefect.api_url or f"http://{HOST}:{port}/api", own_server=not settings.prefect.api_url
        )
        try:
            _supervise(settings, parts, port=port, stop=stop, say=say)
        finally:
            (home / "service.json").unlink(missing_ok=True)
            _stop(parts)
            say("stopped")


def _parts(home: Path, api_url: str, *, own_server: bool) -> list[_Part]:
    environment = {**os.environ, **prefect_environment(home, api_url), "CCDWATCH_HOME": str(home)}
    logs = home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    port = api_url.removesuffix("/api").rpartition(":")[2]
    server = ["-m", "uvicorn", "--factory", "prefect.server.api.server:create_app", "--host", HOST, "--port", port]
    commands = {
        **({"server": [*server, "--log-level", "warning"]} if own_server else {}),
        "serve": ["-m", "flows.cli", "serve"],
        "watch": ["-m", "flows.cli", "watch"],
    }
    return [
        _Part(name, [sys.executable, *words], environment, logs / f"{name}.log") for name, words in commands.items()
    ]


def _supervise(settings: Settings, parts: list[_Part], *, port: int, stop: Event, say: Callable[[str], None]) -> None:
    began = time.monotonic()
    api_url = settings.prefect.api_url or f"http://{HOST}:{port}/api"
    ui_url = api_url.removesuffix("/api")
    ready = False
    with PrefectApi(api_url) as api:
        while not stop.wait(0.2):
            for part in parts:
                part.keep_alive(say)
            if not ready and api.is_ready():
                ready = True
                service = {"pid": os.getpid(), "prefect_api_url": api_url, "prefect_ui_url": ui_url}
                _write_service(settings.home, service)
                say(f"ready after {time.monotonic() - began:.1f} s")
                say(f"Prefect UI   {ui_url}")


def _write_service(home: Path, service: Mapping[str, object]) -> None:
    temporary = home / ".service.json.tmp"
    temporary.write_text(json.dumps(service), encoding="utf-8")
    temporary.replace(home / "service.json")


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise SettingsError(
                f"port {port} of {HOST} is taken: give a free one, for example --port {port + 1}"
            ) from None


def _stop(parts: list[_Part]) -> None:
    """End every part and all that it started: politely, and after a few seconds for good."""
    running = [part.process for part in parts if part.process is not None]
    family: set[psutil.Process] = set()
    for process in running:
        with suppress(psutil.NoSuchProcess):
            family |= {psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)}
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
