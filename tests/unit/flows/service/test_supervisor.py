"""The processes that `up` looks after."""

import math
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from flows.home.processes import now
from flows.prefect_server.client import PrefectUnavailableError
from flows.service import supervisor, vigil
from flows.watching.heartbeat import Pulse, WatcherHealth
from tests.support.service import wait_for

WELL = WatcherHealth(scanned_at=None, missing=(), unobserved=(), unreadable=(), mounts={}, settling=0)


def sleeper(log: Path) -> supervisor.SupervisedProcess:
    return supervisor.SupervisedProcess(
        "sleeper", [sys.executable, "-c", "import time; time.sleep(600)"], dict(os.environ), log
    )


def test_a_part_that_is_killed_is_started_again(tmp_path: Path) -> None:
    part = sleeper(tmp_path / "sleeper.log")
    said: list[str] = []
    part.keep_alive(said.append)
    assert part.process is not None
    first = part.process
    part.kill(said.append, "hangs")
    assert part.runs_for < 60

    def is_another() -> bool:
        part.keep_alive(said.append)
        return part.process is not None and part.process.pid != first.pid

    assert wait_for(is_another, seconds=60)
    assert part.process is not None
    supervisor.stop([part])
    part.process.wait()
    assert said[0] == f"sleeper hangs and is ended: see {tmp_path}/sleeper.log"
    assert "sleeper ended with status -9; started again in 0.5 s" in said[1]


def test_a_part_is_started_where_there_is_no_room_for_its_log(tmp_path: Path) -> None:
    part = sleeper(tmp_path / "no folder" / "sleeper.log")
    part.keep_alive(lambda _: None)
    assert part.process is not None
    assert part.process.poll() is None
    supervisor.stop([part])
    part.process.wait()


def test_a_watcher_that_says_nothing_hangs_by_a_clock_that_nobody_puts_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steady = 0.0
    monkeypatch.setattr(vigil, "time", SimpleNamespace(monotonic=lambda: steady))
    watcher = vigil.WatcherVigil(tmp_path)
    assert not watcher.is_silent()
    Pulse(tmp_path).beat(WELL, at=now(), trouble=None)
    for minutes in range(10):  # the clock is put right by hours, to and fro, and the watcher goes on
        steady = 60.0 * minutes
        then = time.time() + 7200 * (-1) ** minutes
        os.utime(tmp_path / "watch.json", (then, then))
        assert not watcher.is_silent()
    steady += vigil.HUNG_SECONDS + 1
    assert watcher.is_silent()


class Server:
    """A Prefect server that answers so."""

    def __init__(self, status: int | None) -> None:
        self.status = status

    def deployment_id(self, _flow: str) -> str:
        if self.status == 200:
            return "d1"
        raise PrefectUnavailableError("no", status=self.status)


@pytest.mark.parametrize(("status", "seconds"), [(200, math.inf), (404, math.inf), (500, 60), (None, 180)])
def test_a_server_that_does_not_answer_as_it_should_is_broken(
    monkeypatch: pytest.MonkeyPatch, status: int | None, seconds: float
) -> None:
    steady = 0.0
    monkeypatch.setattr(vigil, "time", SimpleNamespace(monotonic=lambda: steady))
    server = Server(200)
    watched = vigil.ServerVigil(server)  # type: ignore[arg-type]
    assert not watched.is_broken()
    server.status = status
    broken_at = math.inf
    for second in range(5, 400, 5):
        steady = float(second)
        if watched.is_broken():
            broken_at = min(broken_at, steady)
    assert broken_at == (seconds + 5 if math.isfinite(seconds) else math.inf)
    watched.begin_again()
    assert not watched.is_broken()


def test_a_server_that_has_never_worked_yet_is_given_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    steady = 0.0
    monkeypatch.setattr(vigil, "time", SimpleNamespace(monotonic=lambda: steady))
    watched = vigil.ServerVigil(Server(None))  # type: ignore[arg-type]
    broken = []
    for second in range(0, 700, 5):
        steady = float(second)
        broken.append(watched.is_broken())
    assert broken.index(True) == vigil.STARTING_SECONDS / 5 + 1


class Starting:
    """A Prefect server that answers after a while, and knows our flows later, one after the other."""

    def __init__(self) -> None:
        self.answers = False
        self.flows: set[str] = set()

    def is_ready(self) -> bool:
        return self.answers

    def deployment_id(self, flow: str) -> str | None:
        if not self.answers:
            raise PrefectUnavailableError("not yet")
        return flow if flow in self.flows else None


def test_a_service_is_ready_when_all_flows_are_registered_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(100))
    monkeypatch.setattr(vigil, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    server = Starting()
    start = vigil.StartVigil(server)  # type: ignore[arg-type]
    assert not start.is_over()
    assert not start.has_answered
    server.answers = True
    assert not start.is_over()
    assert start.has_answered
    server.flows.add("ingest")
    assert not start.is_over()
    server.flows.add("calibrate")
    assert start.is_over()
