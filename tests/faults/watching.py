"""`ccdwatch watch` as the service runs it, on a directory of its own; Prefect is away, so work waits."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import func, select, update

from db.schema.models import File, FileState
from flows.home.home import Home, open_home
from tests.support.service import COMMAND, kill, wait_for

BLOCK = b"x" * 2880
NOWHERE = "http://127.0.0.1:9/api"


@dataclass
class WatchedSite:
    """A home, a directory that it watches, and the process that does it.

    Parameters
    ----------
    directory : Path
        Holds all of it.
    settings : dict of str to value
        Of ``[watch]``.
    """

    directory: Path
    settings: dict[str, Any] = field(default_factory=dict)
    process: psutil.Popen | None = None

    def __post_init__(self) -> None:
        for path in (self.home_path, self.incoming, self.outside):
            path.mkdir()
        keys = [f"{key} = {str(value).lower()}" for key, value in self.settings.items()]
        words = [f'directories = ["{self.incoming}"]', *keys]
        (self.home_path / "ccdwatch.toml").write_text("\n".join(["[watch]", *words, ""]))

    @property
    def home_path(self) -> Path:
        return self.directory / "home"

    @property
    def incoming(self) -> Path:
        return self.directory / "incoming"

    @property
    def outside(self) -> Path:
        """A place on the same file system that nobody watches."""
        return self.directory / "outside"

    @cached_property
    def home(self) -> Home:
        return open_home(self.home_path)

    def start(self, *before: str) -> None:
        """Start to watch, with these words before those of the command."""
        environment = {**os.environ, "CCDWATCH_HOME": str(self.home_path), "PREFECT_API_URL": NOWHERE}
        with (self.directory / "watch.log").open("ab") as log:
            self.process = psutil.Popen([*before, *COMMAND, "watch"], env=environment, stdout=log, stderr=log)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process is not None:
            kill([self.process])
            self.process.wait()
            self.process = None

    def land(self, names: Iterable[str]) -> None:
        """Write files as quickly as this machine can."""
        for name in names:
            path = self.incoming / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(BLOCK)

    def on_ledger(self) -> int:
        """Return how many files the ledger knows."""
        with self.home.read_session() as session:
            return session.scalar(select(func.count()).select_from(File)) or 0

    def wait_for_ledger(self, n: int, *, within: float) -> float:
        """Wait until the ledger knows so many files; return how many seconds that took."""
        began = time.monotonic()
        wait_for(lambda: self.on_ledger() >= n, seconds=within, every=0.2)
        found = self.on_ledger()
        assert found == n, f"{found} of {n} files on the ledger after {within:g} s\n{self.said()}"
        return time.monotonic() - began

    def finish_all(self) -> None:
        """Do what registration does with every file, without its frame."""
        with self.home.write_session() as session:
            session.execute(update(File).values(state=FileState.QUARANTINED, reason="no frame"))

    def states(self) -> dict[str, FileState]:
        """Return the state of every file by its path below the watched directory."""
        with self.home.read_session() as session:
            return {row.relative_path: row.state for row in session.scalars(select(File))}

    def cpu_seconds(self) -> float:
        """Return how long a processor has worked for the process."""
        assert self.process is not None
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def said(self) -> str:
        """Return the end of its log."""
        return (self.directory / "watch.log").read_text()[-2000:]


@contextmanager
def watched_site(**settings: Any) -> Iterator[WatchedSite]:
    """Give a site, and remove it with its process."""
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as directory:
        site = WatchedSite(Path(directory), settings)
        try:
            yield site
        finally:
            site.kill()
            site.home.engine.dispose()
