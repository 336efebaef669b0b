"""Several hosts on this machine: a Prefect server and PostgreSQL, a watcher, and workers of one thread each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import create_engine, make_url, text

from flows.home.home import Home, read_home
from flows.prefect_server.client import PrefectApi, prefect_environment
from tests.support import postgresql
from tests.support.other_host import all_of, cut_power, processor_seconds
from tests.support.service import free_port, wait_for

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(sys.executable).parent
_OF_A_RECORD = ("trends", "masters", "runs", "frames")
_LEFT_OUT = {
    *("began_at", "ended_at", "certified_at", "registered_at", "engine", "flow_run_id", "host", "attempt", "sha256"),
    *("id", "run_id", "master_id", "calibration_set_id", "champion_id", "path", "paths"),
}
"""What tells of the running, not of what was found."""


@dataclass
class Observatory:
    """What all hosts share: a Prefect server with a work pool, and a database server.

    Parameters
    ----------
    folder : Path
        For homes and logs.
    database_url : str
        Of the database server.
    api_url : str
        Of Prefect.
    server : int
        The server's process.
    """

    folder: Path
    database_url: str
    api_url: str
    server: int
    _hosts: dict[tuple[Path, str], subprocess.Popen[bytes]] = field(default_factory=dict)

    def environment(self, home: Path) -> dict[str, str]:
        """Return that of each process of a home."""
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
        ours = {"CCDWATCH_HOME": str(home), "PREFECT_WORKER_QUERY_SECONDS": "2", **threads}
        return {**os.environ, **prefect_environment(home, self.api_url), **ours}

    def make_home(self, name: str, frames: Path, prefect: str = "") -> Path:
        """Make a home that watches a folder, with a database of its own."""
        home = self.folder / name
        home.mkdir()
        url = make_url(self.database_url)
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}"'))
        engine.dispose()
        (home / "ccdwatch.toml").write_text(
            f'[watch]\ndirectories = ["{frames}"]\nhost = "observatory"\nsettle_seconds = 2\nstable_seconds = 0.2\n'
            f'[database]\nurl = "{url.set(database=name).render_as_string(hide_password=False)}"\n'
            f'[prefect]\napi_url = "{self.api_url}"\n{prefect}\n'
        )
        return home

    def run(self, home: Path, program: str, *words: object) -> str:
        """Run a program to its end and return what it printed."""
        done = subprocess.run(
            [PROGRAMS / program, *map(str, words)],
            env=self.environment(home), cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def make_pool(self, home: Path) -> None:
        """Make the work pool and its deployments, as the operator's guide says."""
        self.run(home, "prefect", "work-pool", "create", "--type", "process", "ccdwatch")
        file = ROOT / "deploy" / "prefect.yaml"
        self.run(home, "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", file)

    @contextmanager
    def host(
        self, home: Path, name: str, *command: object, processor: int | None = None, **more: str
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run a program on a host of its own, which loses its power at the end."""
        where = "-" if processor is None else processor
        program, *rest = command
        words = [sys.executable, "-m", "tests.support.other_host", name, where, PROGRAMS / str(program), *rest]
        with (self.folder / f"{home.name}-{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [*map(str, words)], env={**self.environment(home), **more}, cwd=ROOT, stdout=log, stderr=log
            )
        self._hosts[home, name] = process
        try:
            yield process
        finally:
            self.cut_power(home, name)

    def cut_power(self, home: Path, name: str) -> None:
        """End a host at once."""
        process = self._hosts[home, name]
        cut_power(process.pid)
        process.wait()

    def worker(self, home: Path, name: str, *, processor: int | None = None) -> Any:
        """Run a worker of the pool, of one flow run at a time."""
        words = ("prefect", "worker", "start", "--pool", "ccdwatch", "--name", f"{home.name}-{name}", "--limit", 1)
        return self.host(home, name, *words, processor=processor)

    def said(self) -> str:
        """Return the ends of all logs: for messages."""
        return "\n".join(f"== {path.name}\n{path.read_text()[-3000:]}" for path in sorted(self.folder.glob("*.log")))

    def results(self, home: Path) -> list[list[str]]:
        """Return what is on record, without what tells of the running."""
        return [self.on_record(home, what) for what in _OF_A_RECORD]

    def on_record(self, home: Path, what: str) -> list[str]:
        """Return what one of the listings says."""
        rows: list[dict[str, Any]] = json.loads(self.run(home, "ccdwatch", what, "--home", home, "--format", "json"))
        return sorted(map(_found, rows))

    def database_seconds(self) -> float:
        """Return the processor time that PostgreSQL has used."""
        port = make_url(self.database_url).port
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if "-p" in words and str(port) in words and "postgres" in words[0]:
                return processor_seconds(process.pid)
        return float("nan")

    def server_seconds(self) -> float:
        """Return the processor time that the Prefect server has used."""
        return processor_seconds(self.server)


def _found(row: Mapping[str, Any]) -> str:
    return json.dumps({key: value for key, value in row.items() if key not in _LEFT_OUT}, sort_keys=True)


@contextmanager
def running_observatory(folder: Path) -> Iterator[Observatory]:
    """Run a database server and a Prefect server on loopback."""
    binaries = postgresql.programs()
    assert binaries is not None, "no PostgreSQL server on this machine: install Debian's package postgresql"
    port = free_port()
    api_url = f"http://127.0.0.1:{port}/api"
    environment = {**os.environ, **prefect_environment(folder, api_url)}
    with postgresql.running_server(binaries) as url, (folder / "server.log").open("wb") as log:
        words = ["server", "start", "--host", "127.0.0.1", "--port", str(port)]
        server = subprocess.Popen([PROGRAMS / "prefect", *words], env=environment, cwd=folder, stdout=log, stderr=log)
        try:
            with PrefectApi(api_url) as api:
                assert wait_for(api.is_ready, seconds=180, every=0.5), (folder / "server.log").read_text()
            yield Observatory(folder, url, api_url, server.pid)
        finally:
            server.terminate()
            with suppress(subprocess.TimeoutExpired):
                server.wait(timeout=30)
            for process in all_of(server.pid):
                with suppress(psutil.NoSuchProcess):
                    process.kill()


def opened(home: Path, *, seconds: float = 60) -> Home:
    """Return a home to ask questions of, once somebody has begun its record."""
    found = wait_for(lambda: _opened(home), seconds=seconds, every=0.5)
    assert found, f"{home}: nothing is on record"
    return found  # type: ignore[no-any-return]


def _opened(home: Path) -> Home | None:
    with suppress(Exception):
        return read_home(home)
    return None


def total(processes: Iterable[subprocess.Popen[bytes]]) -> float:
    """Return the processor time of hosts."""
    return sum(processor_seconds(one.pid) for one in processes)
