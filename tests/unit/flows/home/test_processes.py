"""A process is known by more than its number: across clocks, services that are gone, and containers."""

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from db.runs.runs import open_runs
from flows.commands.process import _make_runs
from flows.home import processes
from flows.home.home import open_home
from flows.home.processes import HOST, is_gone, now, own_start, start_of
from flows.home.service_address import RunningService, running_service, write_service
from flows.products.cleanup import RUN_LEASE, give_up_lost_runs, is_lost
from tests.support.on_record import add_frame, begin_run, set_of

URL = "http://127.0.0.1:1"


def test_a_process_stays_itself_when_the_clock_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds since 1970 are reckoned from the clock, so that each process that looks would get others."""
    started = own_start()
    shown = psutil.Process().create_time()
    monkeypatch.setattr(psutil.Process, "create_time", lambda _: shown + 3600)
    assert not is_gone(os.getpid(), started)


def test_a_number_that_was_used_again_is_another_process() -> None:
    first, second = (subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) for _ in range(2))
    try:
        assert not is_gone(first.pid, start_of(first.pid))
        time.sleep(0.01)
        assert is_gone(first.pid, start_of(first.pid) - 2)
        assert is_gone(first.pid, start_of(first.pid) - 1e9)  # before the machine was started again
    finally:
        for one in (first, second):
            one.communicate(b"\n")
    assert is_gone(first.pid, own_start())


def test_a_number_that_is_free_is_of_no_process() -> None:
    with pytest.raises(psutil.NoSuchProcess):
        start_of(4_000_000)


@pytest.mark.parametrize(
    ("space", "host"),
    [("pid:[4026531836]", "dome"), ("pid:[4026532456]", "dome pid:[4026532456]"), (None, "dome")],
)
def test_a_container_has_a_name_of_its_own(monkeypatch: pytest.MonkeyPatch, space: str | None, host: str) -> None:
    def readlink(_path: str) -> str:
        if space is None:
            raise OSError
        return space

    monkeypatch.setattr(os, "readlink", readlink)
    monkeypatch.setattr(socket, "gethostname", lambda: "dome")
    assert processes._host() == host


@pytest.mark.parametrize("change", ["start", "machine", "pid"])
def test_a_service_whose_number_another_process_has_is_gone(tmp_path: Path, change: str) -> None:
    running = RunningService(os.getpid(), own_start(), HOST, f"{URL}/api", URL, URL)
    assert write_service(tmp_path, running)
    assert running_service(tmp_path) == running
    others = {
        "start": replace(running, started=running.started - 60),
        "machine": replace(running, machine="dome pid:[4026532456]"),
        "pid": replace(running, pid=4_000_000),
    }
    assert write_service(tmp_path, others[change])
    assert running_service(tmp_path) is None
    # One of an earlier version, which knew the number only.
    (tmp_path / "service.json").write_text(json.dumps({"pid": os.getpid(), "web_url": URL}))
    assert running_service(tmp_path) is None


def test_a_run_in_a_container_is_left_alone_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = open_home(tmp_path)
    monkeypatch.setattr("tests.support.on_record.HOST", f"{socket.gethostname()} pid:[4026532456]")
    with home.write_session() as session:
        set_id = set_of(session, add_frame(session, "a"))
        run_id = begin_run(session, set_id, now=now())
    assert give_up_lost_runs(home) == []
    monkeypatch.setattr("flows.commands.process.PATIENCE_S", 0.1)
    (failed,) = _make_runs(home, {set_id}, lambda *_: None).failed
    assert failed["path"] == f"run {run_id}"
    assert "is under way on" in failed["reason"]
    with home.read_session() as session:
        (run,) = open_runs(session)
    assert not is_lost(run)
    assert is_lost(replace(run, began_at=run.began_at - RUN_LEASE * 1.1))
    home.engine.dispose()
