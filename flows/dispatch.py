"""`watch`: the light loop that sees files land and asks Prefect for the runs that are missing.

It opens no frame and computes nothing. What it asked for and did not get, it asks for again: the record
says what is missing, and the same request has the same key.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from threading import Event, Thread

from sqlalchemy.exc import SQLAlchemyError

from db import ledger
from db.models import FileState
from db.records import fail_run
from db.sets import OpenRun, open_runs
from flows.disk import Disk, keep_ballast
from flows.heartbeat import Pulse, read_heartbeat
from flows.home import Home, home_id, now
from flows.identity import words_of_away
from flows.leftovers import GRACE, remove_leftovers
from flows.lost_database import says_database_lost
from flows.naming import run_name, run_tags
from flows.notify import keep_telling
from flows.pictures import without_pictures
from flows.prefect_api import FlowRunState, PrefectApi, PrefectUnavailableError
from flows.prefect_password import password_of
from flows.publishing import give_up, is_lost
from flows.reconcile import Plan, cancelled, reconcile, record_stillborn
from flows.redaction import redact
from flows.registration import free_lost_claims
from flows.watcher import Watcher
from flows.words import one_line

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
        self._had_room = True
        self._reconcile_at: datetime | None = None
        self._tidied_at: datetime | None = None

    def seconds_to_wait(self, at: datetime) -> float:
        """Return how long nothing is to be done, if no file lands."""
        longest = BUSY_WAIT if self._is_registering else LONGEST_WAIT
        due = (self._reconcile_at - at).total_seconds() if self._reconcile_at else 0.0
        return max(0.05, min(longest, due))

    def tick(self, at: datetime) -> None:
        """Ask for what is missing at this moment."""
        free_lost_claims(self.home)
        with self.home.reading() as session:
            files, under_way = ledger.counts(session), open_runs(session)
        was_registering, self._is_registering = self._is_registering, any(files[state] for state in _IN_WORK)
        has_room = self._has_room()
        if files[FileState.READY] and has_room:
            self._ask_for_ingest(at, files[FileState.READY])
        if was_registering and not self._is_registering:
            self._ingest, self._reconcile_at = None, at
        is_due = self._reconcile_at is None or at >= self._reconcile_at
        if (self._end_runs(under_way, ask_of_all=is_due) or is_due) and has_room:
            self._reconcile(at)

    def _has_room(self) -> bool:
        """Whether the disk has room for work; say so, when it has no longer."""
        had_room, disk = self._had_room, Disk.of(self.home.path)
        self._had_room = disk.has_room
        if had_room and not disk.has_room:
            logger.warning("%s", disk.finding)
        return disk.has_room

    def _ask_for_ingest(self, at: datetime, n_files: int) -> None:
        """Ask for an ingest run, unless the one asked for is still at it."""
        if self._ingest is not None:
            state = self.api.state(self._ingest)
            if state is not None and not state.is_final:
                return
        self._ingest = self.api.submit(
            "ingest",
            name=f"ingest {n_files} file{'s'[: n_files != 1]}",
            parameters={"home": home_id(self.home.path)},
            tags=["ingest"],
            idempotency_key=f"ingest:{hashlib.sha256(at.isoformat().encode()).hexdigest()}",
        )

    def _reconcile(self, at: datetime) -> None:
        plans, later = reconcile(self.home, at)
        for plan in plans:
            self._ask_for_calibration(plan, at)
        for plan in without_pictures(self.home, at):
            self._submit(plan, what="pictures", key=f"{plan.key}:pictures")
        if self._tidied_at is None or not self._tidied_at <= at < self._tidied_at + GRACE:
            self._tidied_at = at
            for line in remove_leftovers(self.home, at):
                logger.info("%s", line)
        busy = at + timedelta(seconds=2) if plans else at + RECONCILE_EVERY
        self._reconcile_at = min(busy, later or busy)

    def _end_runs(self, under_way: Sequence[OpenRun], *, ask_of_all: bool) -> bool:
        """End on record the runs that nobody works on; return whether there were any.

        Those of this machine show by their processes; what ended elsewhere, Prefect saw.
        """
        ended = False
        for run in under_way:
            lost = is_lost(run)
            state = self.api.state(run.flow_run_id) if run.flow_run_id and (lost or ask_of_all) else None
            if lost or (state is not None and state.is_final):
                self._end(run, state)
                ended = True
        return ended

    def _end(self, run: OpenRun, state: FlowRunState | None) -> None:
        if state is None or state.was_cut_short:
            give_up(self.home, run.id)
            if run.flow_run_id and state is not None and not state.is_final:
                self.api.mark_crashed(run.flow_run_id, "the process that worked on it is gone")
        elif state.was_cancelled:
            give_up(self.home, run.id, cancelled=cancelled(run.id, state))
        elif says_database_lost(state.message):
            give_up(self.home, run.id, why=f"the database went away: {state.message}")
        else:
            message = f"ended in the middle: {state.message or state.type.lower()}"
            with self.home.sessions.begin() as session:
                fail_run(session, run_id=run.id, message=redact(message), now=now())

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
        flow_run_id = self._submit(plan, what="calibrate", key=plan.key)
        self._asked[plan.key] = flow_run_id, at
        logger.info("asked for %s (attempt %d): flow run %s", plan.key, plan.attempt, flow_run_id)

    def _submit(self, plan: Plan, *, what: str, key: str) -> str:
        return self.api.submit(
            "calibrate",
            name=run_name(plan.instrument, plan.night, plan.configuration, what=what),
            parameters={
                "home": home_id(self.home.path),
                "set_id": plan.set_id,
                "digest": plan.digest,
                "attempt": plan.attempt,
            },
            tags=run_tags(plan.instrument, plan.night),
            idempotency_key=f"{self.home.path}:{key}",
        )


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
    pulse = Pulse(home.path)
    trouble: str | None = None

    def say_alive() -> None:
        if home.is_there:
            pulse.beat(watcher.health, at=now(), trouble=trouble)

    before = read_heartbeat(home.path)
    watcher = Watcher(
        home.settings.watch,
        sessions=home.sessions,
        host=home.settings.host,
        home=home.path,
        mounts=before.mounts if before else None,
        progress=say_alive,
    )
    watcher.start()
    if home.settings.notify.urls:
        Thread(target=keep_telling, args=(home, stop), name="notices", daemon=True).start()
    try:
        with PrefectApi(api_url, password=password_of(home.path, api_url)) as api:
            dispatcher = Dispatcher(home, api)
            while not stop.is_set():
                say_alive()
                last, trouble = trouble, _work(watcher, dispatcher)
                if trouble and not last:
                    say(trouble)
                watcher.wait(dispatcher.seconds_to_wait(now()))
        if home.is_there:
            pulse.end(watcher.health, at=now())
    finally:
        watcher.stop()


def _work(watcher: Watcher, dispatcher: Dispatcher) -> str | None:
    """Do what there is to do; return what stood in the way, which will not for ever: it is tried again."""
    home = dispatcher.home
    if not home.is_there:
        return words_of_away(home.path)
    keep_ballast(home.path)
    try:
        watcher.tick(now())
        dispatcher.tick(now())
    except PrefectUnavailableError as error:
        return redact(f"Prefect does not answer, work waits: {error}")
    except SQLAlchemyError as error:
        why = getattr(error, "orig", None) or error
        return redact(f"the database cannot be used, work waits: {one_line(why)}")
    return None
