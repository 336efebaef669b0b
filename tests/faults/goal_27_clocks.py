"""A clock that is ahead by hours, and put right at any stage of the work: nothing waits for that time to come."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import patch

from db.files import ledger
from db.runs.lifecycle import fail_run, finish_run
from flows.health.condition import condition
from flows.home.home import Home, open_home
from flows.home.processes import now
from flows.registration.register import LEASE
from flows.runs.begin import begin_run
from flows.runs.plan import reconcile
from flows.service.dispatcher import RECONCILE_EVERY, Dispatcher
from flows.watching.heartbeat import Pulse, WatcherHealth
from tests.faults.prefect_stub import IdlePrefect
from tests.support import on_record

SETTLE_SECONDS = 20.0
AHEAD = (timedelta(seconds=30), timedelta(hours=5), timedelta(days=4000))

Stage = Callable[[Home, datetime], None]
"""What was on record when the clock was put right; the time is the wrong one."""


def files_become_stable(home: Home, wrong: datetime) -> None:
    with home.write_session() as session:
        ledger.observe(session, [on_record.sighting("new.fits", at=wrong)], host=on_record.HOST, now=wrong)


def a_file_rests(home: Home, wrong: datetime) -> None:
    files_become_stable(home, wrong)
    with home.write_session() as session:
        ledger.claim_files(session, [1], owner="w", lease_until=wrong + LEASE, now=wrong)
        rest = wrong + timedelta(seconds=30)
        ledger.send_back(session, 1, owner="w", reason="no", rest_until=rest, most=3, now=wrong)


def files_are_claimed(home: Home, wrong: datetime) -> None:
    files_become_stable(home, wrong)
    with home.write_session() as session:
        ledger.claim_files(session, [1], owner="other:1:1.0:x", lease_until=wrong + LEASE, now=wrong)


def a_set_settles(home: Home, wrong: datetime) -> None:
    with home.write_session() as session:
        on_record.add_frame(session, "b1", joined_at=wrong, now=wrong)


def a_late_frame_comes(home: Home, wrong: datetime) -> None:
    """Its set was calibrated by the wrong clock, it is registered by the right one."""
    a_set_settles(home, wrong - timedelta(hours=2))
    ((plan,), _) = reconcile(home, wrong + timedelta(days=1))
    with patch("flows.runs.begin.now", lambda: wrong):
        run_id = begin_run(home, set_id=plan.set_id, digest=plan.digest, attempt=1, engine="prefect", flow_run_id=None)
    assert run_id is not None
    with home.write_session() as session:
        finish_run(session, run_id=run_id, now=wrong)
        on_record.add_frame(session, "b2", joined_at=now(), now=now())


def a_run_failed(home: Home, wrong: datetime) -> None:
    a_set_settles(home, wrong - timedelta(seconds=2 * SETTLE_SECONDS))
    ((plan,), _) = reconcile(home, wrong + timedelta(days=1))
    with patch("flows.runs.begin.now", lambda: wrong):
        run_id = begin_run(home, set_id=plan.set_id, digest=plan.digest, attempt=1, engine="prefect", flow_run_id=None)
    assert run_id is not None
    with home.write_session() as session:
        fail_run(session, run_id=run_id, message="no", now=wrong)


STAGES: list[Stage] = [
    files_become_stable,
    a_file_rests,
    files_are_claimed,
    a_set_settles,
    a_run_failed,
    a_late_frame_comes,
]


def run(full: bool) -> str:
    cases = [(stage, ahead, while_running) for stage in STAGES for ahead in AHEAD for while_running in (False, True)]
    cases = cases if full else cases[1::5]
    for stage, ahead, while_running in cases:
        with tempfile.TemporaryDirectory(prefix="ccdwatch-") as name:
            _put_right(Path(name), stage, ahead, while_running=while_running)
    _a_dead_watcher_does_not_live_on()
    return f"{len(cases)} clocks put right by up to {max(AHEAD).days} days: nothing waited longer than it may"


def _put_right(directory: Path, stage: Stage, ahead: timedelta, *, while_running: bool) -> None:
    """Let a clock be ahead, then put it right, while the service runs or while it is down; see that all goes on."""
    settings = f'[watch]\nsettle_seconds = {SETTLE_SECONDS}\nhost = "{on_record.HOST}"\n'
    (directory / "home").mkdir()
    (directory / "home" / "ccdwatch.toml").write_text(settings)
    with ExitStack() as stack:
        home = open_home(directory / "home")
        stack.callback(home.engine.dispose)
        prefect = IdlePrefect()
        dispatcher = Dispatcher(home, prefect)  # type: ignore[arg-type]
        if while_running:
            dispatcher.tick(now() + ahead)
        stage(home, now() + ahead)
        dispatcher.tick(now())
        if ahead > ledger.LONGEST_LEASE:
            _nothing_waits(home, stage)
        if stage in {a_set_settles, a_run_failed, a_late_frame_comes}:
            soon = now() + timedelta(seconds=2 * SETTLE_SECONDS + 31)
            dispatcher.tick(now() + timedelta(seconds=SETTLE_SECONDS + 1))
            dispatcher.tick(soon)
            dispatcher.tick(soon + RECONCILE_EVERY)
            asked = {one["attempt"] for one in prefect.asked_for if one["flow"] == "calibrate"}
            assert asked == {1 + (stage is a_run_failed)}, f"{stage.__name__}, {ahead} ahead: {prefect.asked_for}"


def _nothing_waits(home: Home, stage: Stage) -> None:
    """See that a file is free for whoever wants it."""
    if stage is files_are_claimed:
        with home.write_session() as session:
            lease = now() + timedelta(minutes=1)
            assert ledger.claim_files(session, [1], owner="me", lease_until=lease, now=now()), "claimed for hours"
    elif stage in {files_become_stable, a_file_rests}:
        with home.write_session() as session:
            assert ledger.mark_ready(session, [1], now=now() + timedelta(seconds=61)), "rests for hours"


def _a_dead_watcher_does_not_live_on() -> None:
    """One that died while the clock was ahead left a sign of life that lies before us."""
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as name:
        home = open_home(Path(name))
        wrong = now() + timedelta(hours=5)
        health = WatcherHealth(scanned_at=wrong, missing=(), unobserved=(), unreadable=(), mounts={}, settling=0)
        Pulse(home.path).beat(health, at=wrong, trouble=None)
        os.utime(home.path / "watch.json", (wrong.timestamp(), wrong.timestamp()))
        assert any("the watcher was last heard" in one for one in condition(home).findings), condition(home).findings
        home.engine.dispose()
