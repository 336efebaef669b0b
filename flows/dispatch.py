"""`watch`: the light loop that sees files land and asks Prefect for the runs that are missing.

It opens no frame and computes nothing. What it asked for and did not get, it asks for again: the record
says what is missing, and the same request has the same key.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Event

from db import ledger
from db.models import FileState
from db.records import fail_run
from db.sets import open_runs
from flows.home import HOST, Home, now
from flows.naming import run_name, run_tags
from flows.prefect_api import PrefectApi, PrefectUnavailableError
from flows.publishing import take_over
from flows.reconcile import Plan, reconcile, record_stillborn
from flows.watcher import Watcher

logger = logging.getLogger(__name__)

RECONCILE_EVERY = timedelta(seconds=30)
ASK_AGAIN_AFTER = timedelta(seconds=60)
LONGEST_WAIT = 1.0
BUSY_WAIT = 0.2

_IN_WORK = (FileState.READY, FileState.CLAIMED)


class Dispatcher:
    """Asks Prefect for ingest and calibration runs.

    Parameters
    ----------
    home : Home
        The open home.
    api : PrefectApi
        The service's Prefect.
    """

    def __init__(self, home: Home, api: PrefectApi) -> None:
        self.home = home
        self.api = api
        self._asked: dict[str, tuple[str, datetime]] = {}
        self._ingest: str | None = None
        self._is_registering = False
        self._reconcile_at: datetime | None = None

    def seconds_to_wait(self, at: datetime) -> float:
        """Return how long nothing is to be done, if no file lands."""
        longest = BUSY_WAIT if self._is_registering else LONGEST_WAIT
        due = (self._reconcile_at - at).total_seconds() if self._reconcile_at else 0.0
        return max(0.05, min(longest, due))

    def tick(self, at: datetime) -> None:
        """Ask for what is missing at this moment."""
        if take_over(self.home):
            self._reconcile_at = at
        with self.home.reading() as session:
            files = ledger.counts(session)
        was_registering, self._is_registering = self._is_registering, any(files[state] for state in _IN_WORK)
        if files[FileState.READY]:
            self._ask_for_ingest(at, files[FileState.READY])
        elif was_registering and not self._is_registering:
            self._ingest, self._reconcile_at = None, at
        if self._reconcile_at is None or at >= self._reconcile_at:
            self._reconcile(at)

    def _ask_for_ingest(self, at: datetime, n_files: int) -> None:
        """Ask for an ingest run, unless the one asked for is still at it."""
        if self._ingest is not None:
            state = self.api.state(self._ingest)
            if state is not None and not state.is_final:
                return
        self._ingest = self.api.submit(
            "ingest",
            name=f"ingest {n_files} file{'s'[: n_files != 1]}",
            parameters={"home": str(self.home.path)},
            tags=["ingest"],
            idempotency_key=f"ingest:{hashlib.sha256(at.isoformat().encode()).hexdigest()}",
        )

    def _reconcile(self, at: datetime) -> None:
        self._end_runs_that_prefect_ended(at)
        plans, later = reconcile(self.home, at)
        for plan in plans:
            self._ask_for_calibration(plan, at)
        busy = at + timedelta(seconds=2) if plans else at + RECONCILE_EVERY
        self._reconcile_at = min(busy, later or busy)

    def _end_runs_that_prefect_ended(self, at: datetime) -> None:
        """End on record the runs whose process died in the middle, on whichever machine: Prefect saw it."""
        with self.home.reading() as session:
            under_way = {run.id: run.flow_run_id for run in open_runs(session) if run.flow_run_id}
        for run_id, flow_run_id in under_way.items():
            state = self.api.state(flow_run_id)
            if state is not None and state.is_final:
                message = f"ended in the middle: {state.message or state.type.lower()}"
                with self.home.sessions.begin() as session:
                    fail_run(session, run_id=run_id, message=message, now=at)

    def _ask_for_calibration(self, plan: Plan, at: datetime) -> None:
        """Ask for the run of a plan, once a minute at most; where it ended before it began, that attempt has failed."""
        asked = self._asked.get(plan.key)
        if asked is not None:
            state = self.api.state(asked[0])
            if state is not None and state.is_final:
                record_stillborn(self.home, plan, flow_run_id=asked[0], state=state)
                del self._asked[plan.key]
                return
            if at - asked[1] < ASK_AGAIN_AFTER:
                return
        flow_run_id = self.api.submit(
            "calibrate",
            name=run_name(plan.instrument, plan.night, plan.configuration),
            parameters={
                "home": str(self.home.path),
                "set_id": plan.set_id,
                "digest": plan.digest,
                "attempt": plan.attempt,
            },
            tags=run_tags(plan.instrument, plan.night),
            idempotency_key=plan.key,
        )
        self._asked[plan.key] = flow_run_id, at
        logger.info("asked for %s (attempt %d): flow run %s", plan.key, plan.attempt, flow_run_id)


def watch(home: Home, api_url: str, *, stop: Event, say: Callable[[str], None]) -> None:
    """See files land and ask for the runs that are missing, until told to stop.

    Parameters
    ----------
    home : Home
        The open home.
    api_url : str
        Address of the Prefect API; while it is away, files are seen and work waits.
    stop : Event
        Set to end it.
    say : callable
        Takes lines for the log.
    """
    watcher = Watcher(home.settings.watch, sessions=home.sessions, host=HOST, exclude=home.path)
    watcher.start()
    away = False
    try:
        with PrefectApi(api_url) as api:
            dispatcher = Dispatcher(home, api)
            while not stop.is_set():
                watcher.tick(now())
                try:
                    dispatcher.tick(now())
                    away = False
                except PrefectUnavailableError as error:
                    if not away:
                        say(f"Prefect does not answer, work waits: {error}")
                    away = True
                watcher.wait(dispatcher.seconds_to_wait(now()))
    finally:
        watcher.stop()
