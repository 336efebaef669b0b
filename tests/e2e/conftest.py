"""The running service: Prefect databases made once, and the figures that were measured."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.pace import FIGURES, hold
from tests.support.service import Service

FIRST_START_SECONDS = 90.0
START_SECONDS = 20.0


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES:
        terminalreporter.section("figures")
        terminalreporter.write_line("\n".join(FIGURES))


@pytest.fixture(scope="session")
def prefect_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Prefect database as a first start leaves it: its schema takes long to make, and so does compiled code."""
    subprocess.run([sys.executable, "-m", "flows.calibration.inner_loops"], check=True)
    service = Service(tmp_path_factory.mktemp("first"))
    hold("first start", service.start(), FIRST_START_SECONDS)
    for flow in ("ingest", "calibrate"):  # whoever is told that it is ready asks for work at once
        assert service.ask("GET", f"/deployments/name/{flow}/ccdwatch").is_success, service.said()
    service.stop()
    database = service.home / "prefect" / "prefect.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return database


@pytest.fixture(scope="module")
def prepared(prefect_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Service]]:
    """Make services that have not been started yet; what still runs of them is ended when the module is over."""
    made: list[Service] = []

    def make(**options: float) -> Service:
        service = Service(tmp_path_factory.mktemp("service"), **options)
        (service.home / "prefect").mkdir()
        shutil.copy(prefect_database, service.home / "prefect")
        made.append(service)
        return service

    yield make
    for service in made:
        if service.process is not None:
            service.crash()
