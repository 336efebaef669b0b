"""Deployments paused or deleted, Prefect's database emptied or gone under it: healed, no frame waits for ever."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import httpx

from flows.health.condition import condition
from tests.faults.goals import CannotRunError
from tests.support.service import Service, ccdwatch, wait_for
from tests.support.simulate import simple_night

HEALED_SECONDS = 180.0
N_FRAMES = 9
FLOWS = ("ingest", "calibrate")

Injury = Callable[[Service], None]


def deployments_are_paused(service: Service) -> None:
    for flow in FLOWS:
        _insist(service, "POST", f"/deployments/{_id_of(service, flow)}/pause_deployment")


def deployments_are_deleted(service: Service) -> None:
    for flow in FLOWS:
        _insist(service, "DELETE", f"/deployments/{_id_of(service, flow)}")


def flows_are_deleted(service: Service) -> None:
    for flow in FLOWS:
        _insist(service, "DELETE", f"/flows/{service.prefect('GET', f'/flows/name/{flow}')['id']}")


def its_database_is_emptied(service: Service) -> None:
    """Every row of every table goes, as `prefect server database reset` has it."""
    with closing(sqlite3.connect(service.home / "prefect" / "prefect.db", timeout=60)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        connection.execute("PRAGMA foreign_keys = OFF")
        for name in names:
            if name != "alembic_version" and not name.startswith("sqlite_"):
                connection.execute(f'DELETE FROM "{name}"')
        connection.commit()


def its_database_is_deleted(service: Service) -> None:
    for path in (service.home / "prefect").glob("prefect.db*"):
        path.unlink()


INJURIES: list[Injury] = [
    deployments_are_paused,
    deployments_are_deleted,
    flows_are_deleted,
    its_database_is_emptied,
    its_database_is_deleted,
]


def run(full: bool) -> str:
    if not full:
        raise CannotRunError("it takes minutes; tests/e2e/test_service.py has the deleted deployments")
    took = {}
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as name:
        service = Service(Path(name))
        service.start(within=180)
        try:
            for number, injury in enumerate(INJURIES):
                took[injury.__name__] = _suffer(service, injury, seed=number)
        finally:
            service.crash()
            service.on_record.engine.dispose()
    said = ", ".join(f"{what.replace('_', ' ')}: {seconds:.0f} s" for what, seconds in took.items())
    assert max(took.values()) <= HEALED_SECONDS, said
    return f"a night that landed just after, until its results: {said}; status never contradicted itself"


def _suffer(service: Service, injury: Injury, *, seed: int) -> float:
    """Do the harm, let a night land, and wait for its results; return how many seconds that took."""
    name = injury.__name__
    assert wait_for(lambda: _serves(service), seconds=120), service.said()
    folder = service.outside / name
    simple_night(folder, seed=seed, instrument=name)
    injury(service)
    folder.rename(service.incoming / name)
    began = time.monotonic()
    wait_for(lambda: _is_contradictory(service) or service.done(name, N_FRAMES), seconds=HEALED_SECONDS + 60, every=1)
    assert not _is_contradictory(service), condition(service.on_record).findings
    service.wait_until_done(name, N_FRAMES, seconds=10)
    took = time.monotonic() - began
    if injury is deployments_are_paused:
        _told_and_resumed(service)
    healthy = wait_for(lambda: condition(service.on_record).is_ok, seconds=60)
    assert healthy, condition(service.on_record).findings
    assert ccdwatch(service.home, "status").returncode == 0, ccdwatch(service.home, "status").stdout
    return took


def _told_and_resumed(service: Service) -> None:
    """Our service asks for paused flows all the same, and says so until somebody resumes them."""
    assert wait_for(lambda: _n_paused(service) == len(FLOWS), seconds=120, every=2), service.said()
    for flow in FLOWS:
        _insist(service, "POST", f"/deployments/{_id_of(service, flow)}/resume_deployment")
    assert wait_for(lambda: _n_paused(service) == 0, seconds=120, every=2), service.said()


def _n_paused(service: Service) -> int:
    return ccdwatch(service.home, "status").stdout.count("is paused in Prefect")


def _insist(service: Service, method: str, path: str) -> None:
    """Ask again where the server is too busy."""

    def ask() -> bool:
        with suppress(httpx.HTTPError):
            return service.ask(method, path).status_code in {200, 201, 204, 404}
        return False

    assert wait_for(ask, seconds=60, every=1), f"{method} {path}"


def _serves(service: Service) -> bool:
    with suppress(httpx.HTTPError):
        return all(_id_of(service, flow) for flow in FLOWS)
    return False


def _is_contradictory(service: Service) -> bool:
    """Whether what is told says that Prefect does not answer, while it does."""
    found = condition(service.on_record).findings
    return any("does not answer" in one and "HTTP" in one for one in found)


def _id_of(service: Service, flow: str) -> str:
    return str(service.prefect("GET", f"/deployments/name/{flow}/ccdwatch")["id"])
