"""Runs hang on all slots, as on a dead network share: told within 120 s, ended, tried again boundedly, others done."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.synchronize import Event
from pathlib import Path
from threading import Thread
from unittest.mock import patch

import psutil

from db.runs.runs import list_runs, open_runs
from flows.health import overdue
from flows.health.condition import condition
from flows.home.home import Home, open_home
from flows.home.processes import is_gone, now, start_of
from flows.orchestration import slots
from flows.orchestration.slots import slot
from flows.retries import RUN_ATTEMPTS
from flows.runs.begin import begin_run
from flows.runs.plan import Plan, reconcile
from flows.service.dispatcher import Dispatcher
from tests.faults.prefect_stub import IdlePrefect
from tests.support import on_record
from tests.support.service import Service, kill, wait_for
from tests.support.simulate import simple_night

TOLD_SECONDS = 120.0
QUICK = {(overdue, "STILL_SECONDS"): 1.0, (overdue, "ENDED_SECONDS"): 2.5, (slots, "SLOTS"): 2}


def run(full: bool) -> str:
    return _in_full() if full else _in_short()


def _in_short() -> str:
    """Two processes take both slots and stop in the midst of their runs; one cannot be ended."""
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as name, ExitStack() as stack:
        for (module, constant), value in QUICK.items():
            stack.enter_context(patch.object(module, constant, value))
        stack.enter_context(patch("flows.service.dispatcher.OVERSEE_SECONDS", 0.2))
        home = _home_with_sets(Path(name), 3)
        stack.callback(home.engine.dispose)
        plans = reconcile(home, now())[0]
        hung = [_hang(home, plan) for plan in plans[:2]]
        stack.callback(lambda: kill([psutil.Process(pid) for pid in hung if psutil.pid_exists(pid)]))
        held = hung[0]
        stack.enter_context(patch.object(psutil.Process, "kill", _unless(held)))
        told = _watch_over(home, hung)
    return (
        f"2 of 2 hung runs told after {told:.1f} s (in little) and ended, the slot of one that cannot be ended is free"
    )


def _home_with_sets(directory: Path, n: int) -> Home:
    """Return a home with some sets on record that nothing was made of yet."""
    (directory / "home").mkdir()
    (directory / "home" / "ccdwatch.toml").write_text(f'[watch]\nsettle_seconds = 0\nhost = "{on_record.HOST}"\n')
    home = open_home(directory / "home")
    with home.write_session() as session:
        for number in range(n):
            on_record.add_frame(session, f"b{number}", instrument=f"cam{number}")
    return home


def _hang(home: Home, plan: Plan) -> int:
    """Let a process begin a run on a slot and stop; return its number."""
    context = multiprocessing.get_context("fork")
    begun = context.Event()
    process = context.Process(target=_begin_and_stop, args=(home.path, plan, begun))
    process.start()
    assert begun.wait(30)
    assert process.pid is not None
    return process.pid


def _begin_and_stop(path: Path, plan: Plan, begun: Event) -> None:
    home = open_home(path)
    with slot(path):
        begin_run(
            home, set_id=plan.set_id, digest=plan.digest, attempt=plan.attempt, engine="prefect", flow_run_id=None
        )
        begun.set()
        os.kill(os.getpid(), signal.SIGSTOP)


def _unless(held: int) -> Callable[[psutil.Process], None]:
    """Return what ends a process, unless the kernel holds it."""
    real = psutil.Process.kill

    def end(process: psutil.Process) -> None:
        if process.pid != held:
            real(process)

    return end


def _watch_over(home: Home, hung: list[int]) -> float:
    """Let the dispatcher work until both runs are told and ended; return after how many seconds they were told."""
    dispatcher = Dispatcher(home, IdlePrefect())  # type: ignore[arg-type]
    began = time.monotonic()

    def tick() -> list[str]:
        dispatcher.tick(now())
        return dispatcher.findings

    assert wait_for(lambda: len(tick()) == 2, seconds=20), dispatcher.findings
    told = time.monotonic() - began
    assert all("has stood still for" in one for one in dispatcher.findings), dispatcher.findings
    held, ended = hung
    assert wait_for(lambda: (tick() and not psutil.pid_exists(ended)) or _is_dead(ended), seconds=20), "not ended"
    assert wait_for(lambda: any("cannot be ended" in one for one in tick()), seconds=10), dispatcher.findings
    assert not _is_dead(held)
    _two_can_sit(home)
    dispatcher.tick(now())
    with home.read_session() as session:
        outcomes = {run.instrument: (run.outcome, run.message or "") for run in list_runs(session, superseded=True)}
    assert outcomes["cam0"][0] == "running", "what cannot be ended is still there: nobody else may begin"
    assert outcomes["cam1"][0] == "failed"
    assert "stood still for" in outcomes["cam1"][1]
    assert "ccdwatch retry run:" in outcomes["cam1"][1]
    return told


def _is_dead(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _two_can_sit(home: Home) -> None:
    """See that as many can work as before, though one slot has been lost for good."""

    def sit() -> None:
        with slot(home.path), slot(home.path):
            pass

    sitting = Thread(target=sit, daemon=True)
    sitting.start()
    sitting.join(10)
    assert not sitting.is_alive(), "the slot of a process that cannot be ended is not free"


def _in_full() -> str:
    """Two flow processes of the real service are stopped; a third night lands."""
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as name:
        service = Service(Path(name))
        service.start(within=180)
        try:
            stopped = [_stop_one(service, f"hung{number}", seed=number) for number in range(slots.SLOTS)]
            began = time.monotonic()
            simple_night(service.outside / "other", seed=99, instrument="other").paths[0].parent.rename(
                service.incoming / "other"
            )
            told = wait_for(
                lambda: sum("stood still" in one for one in condition(service.on_record).findings), seconds=TOLD_SECONDS
            )
            seconds = time.monotonic() - began
            assert told, condition(service.on_record).findings
            service.wait_until_done("other", 9, seconds=overdue.ENDED_SECONDS + 120)
            done = time.monotonic() - began
            for number in range(slots.SLOTS):
                service.wait_until_done(f"hung{number}", 9, seconds=300)
                outcomes = [run.outcome for run in service.runs(f"hung{number}")]
                assert outcomes == ["failed", "done"], outcomes
            assert all(is_gone(*one) for one in stopped)
        finally:
            service.crash()
            service.on_record.engine.dispose()
    return (
        f"{slots.SLOTS} runs stopped on all {slots.SLOTS} slots: told after {seconds:.0f} s, another night done "
        f"{done:.0f} s after it landed, the stopped ones ended, on record as such, and done at the 2nd of "
        f"{RUN_ATTEMPTS} attempts"
    )


def _stop_one(service: Service, name: str, *, seed: int) -> tuple[int, float]:
    """Let a night land and stop the process of its run as it begins."""
    simple_night(service.outside / name, seed=seed, instrument=name).paths[0].parent.rename(service.incoming / name)

    def begun() -> psutil.Process | None:
        with service.on_record.read_session() as session:
            known = {run.id: run.instrument for run in list_runs(session)}
            return next((psutil.Process(one.pid) for one in open_runs(session) if known.get(one.id) == name), None)

    process = wait_for(begun, seconds=120, every=0.005)
    assert process is not None, service.said()
    process.suspend()
    return process.pid, start_of(process.pid)
