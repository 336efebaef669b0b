"""`watch`: the light loop that sees files land and asks Prefect for the runs that are missing.

It opens no frame and computes nothing. What it asked for and did not get, it asks for again: the record
says what is missing, and the same request has the same key.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from threading import Event, Thread

from sqlalchemy.exc import SQLAlchemyError

from db.engine import words_of_error
from db.files import ledger
from db.judgements.marks import last_line
from db.runs.lifecycle import fail_run
from db.runs.runs import RunRow, open_runs
from db.schema.models import FileState
from flows.applying.calibrating.leftovers import remove_all_passing
from flows.config.errors import SettingsError
from flows.config.redaction import redact
from flows.health.overdue import Overseer, workers_of
from flows.home.clock import ClockWatch
from flows.home.disk import Disk, keep_ballast
from flows.home.home import Home
from flows.home.identity import words_of_away
from flows.home.lost_database import says_database_lost
from flows.home.processes import is_gone, now
from flows.orchestration.requests import ask_for_run, cancelled, record_never_started
from flows.orchestration.slots import forget, notes
from flows.prefect_server.client import FlowRunState, PrefectApi, PrefectUnavailableError
from flows.prefect_server.password import password_of
from flows.products.cleanup import give_up, is_lost
from flows.products.leftovers import GRACE, remove_leftovers
from flows.products.references import refresh_references
from flows.registration.register import free_claims_of, free_lost_claims
from flows.retries import ASK_AGAIN_AFTER
from flows.runs.life import SILENT_SECONDS, Listener
from flows.runs.pictures import without_pictures
from flows.runs.plan import Looked, Plan, reconcile
from flows.service.registrations import Registrations
from flows.service.science import ScienceRuns
from flows.telling.teller import keep_telling
from flows.watching.heartbeat import Pulse, read_heartbeat
from flows.watching.watcher import Watcher

logger = logging.getLogger(__name__)

RECONCILE_EVERY = timedelta(seconds=30)
BUSY_RECONCILE = timedelta(seconds=2)
LONGEST_WAIT = 1.0
LOOK_SECONDS = 3.0
"""How often it is looked whether the configuration was edited."""
BUSY_WAIT = 0.2
OVERSEE_SECONDS = 5.0
IDLE_SECONDS = 100.0
"""Work that waits for so long while nothing is done is told."""

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
        self._science = ScienceRuns(home, api)
        self._registrations = Registrations(home, api)
        self._is_registering = False
        self._had_room = True
        self._last_said: int | None = None
        """The last line that people wrote of frames, masters and measurements."""
        self._looked = Looked()
        self._reconcile_at: datetime | None = None
        self._tidied_at: datetime | None = None
        self._clock = ClockWatch()
        self._is_to_hasten = False
        self._overseer = Overseer(home.path)
        self._listener = Listener(home.path)
        self._overseen_at = -math.inf
        self._stands_still: list[str] = []
        self._idle_since: dict[str, float] = {}
        """What waits while nothing is done, and since when by the monotonic clock."""

    def seconds_to_wait(self, at: datetime) -> float:
        """Return how long nothing is to be done, if no file lands."""
        longest = BUSY_WAIT if self._is_registering else LONGEST_WAIT
        due = (self._reconcile_at - at).total_seconds() if self._reconcile_at else 0.0
        return max(0.05, min(longest, due))

    @property
    def findings(self) -> list[str]:
        """What keeps work from being done, though nothing went wrong here."""
        late = [what for what, since in self._idle_since.items() if time.monotonic() - since > IDLE_SECONDS]
        waits = [f"{what} for minutes and nothing is done: see {self.home.path / 'logs'}" for what in late]
        return [*filter(None, [self._registrations.fault]), *self._stands_still, *waits]

    def tick(self, at: datetime) -> None:
        """Ask for what is missing at this moment."""
        if self._clock.was_put_back(at):
            self._forget_times()
        free_lost_claims(self.home)
        with self.home.read_session() as session:
            files, under_way = ledger.counts(session, _IN_WORK), open_runs(session)
            said = last_line(session)
        under_way = self._oversee(under_way, at)
        is_reading = bool(files[FileState.CLAIMED])
        self._note_idle("files are ready", is_so=bool(files[FileState.READY]) and not is_reading)
        was_registering, self._is_registering = self._is_registering, any(files[state] for state in _IN_WORK)
        has_room = self._has_room()
        if files[FileState.READY] and has_room:
            self._registrations.ask(files[FileState.READY], at)
        if was_registering and not self._is_registering:
            self._registrations.end()
            self._reconcile_at = at
        if said != self._last_said:  # what somebody marks does not wait for the next look at everything
            self._last_said, self._reconcile_at = said, at
            self._refresh_references()
        is_due = self._reconcile_at is None or at >= self._reconcile_at
        if (self._end_runs(under_way, ask_of_all=is_due) or is_due) and has_room:
            self._reconcile(at)

    def _forget_times(self) -> None:
        """Wait for no time that was told by a clock that was ahead, neither here nor in Prefect."""
        self._reconcile_at, self._tidied_at = None, None
        self._asked.clear()
        self._registrations.forget()
        self._looked = Looked()
        self._science.forget()
        self._is_to_hasten = True

    def _oversee(self, under_way: Sequence[RunRow], at: datetime) -> list[RunRow]:
        """End what stands still or takes too long; return the runs that go on."""
        since = time.monotonic() - self._overseen_at
        if since < OVERSEE_SECONDS:
            return list(under_way)
        self._overseen_at = time.monotonic()
        under_way = self._take_back_from_the_silent(under_way, since)
        self._stands_still = self._overseer.look(workers_of(self.home, under_way))
        ended = {
            run.id: why for run in under_way if (why := self._overseer.why_ended(f"run:{run.id}")) and is_lost(run)
        }
        for run_id, why in ended.items():
            todo = f"when the folder of its frames answers, type ccdwatch retry run:{run_id}"
            with self.home.write_session() as session:
                fail_run(session, run_id=run_id, message=f"{why} and was ended: {todo}", now=now())
        for note in notes(self.home.path):
            if is_gone(note.pid, note.started):
                if why_ended := self._overseer.why_ended(note.flow_run_id):
                    self._science.take_back(note.flow_run_id, why_ended, at)
                forget(self.home.path, note.flow_run_id)
        return [run for run in under_way if run.id not in ended]

    def _take_back_from_the_silent(self, under_way: Sequence[RunRow], since: float) -> list[RunRow]:
        """Offer to others what processes of machines worked on that have died; return the runs that go on."""
        for sign in self._listener.silent(since):
            why = f"nothing has been heard of {sign.host}, where it was made, for {SILENT_SECONDS:.0f} s"
            mine = [run for run in under_way if (run.host, run.pid, run.pid_started) == sign.process]
            under_way = [run for run in under_way if run not in mine]
            for run in mine:
                give_up(self.home, run.id, why=why)
            free_claims_of(self.home, *sign.process)
            forget(self.home.path, sign.flow_run_id)
            state = self.api.state(sign.flow_run_id)
            if state is not None and not state.is_final:
                self.api.mark_crashed(sign.flow_run_id, why)
            self._listener.forget(sign)  # last, so that all of this is done again where Prefect does not answer
            logger.warning("flow run %s gives back its work: %s", sign.flow_run_id, why)
        return list(under_way)

    def _note_idle(self, what: str, *, is_so: bool) -> None:
        if is_so:
            self._idle_since.setdefault(what, time.monotonic())
        else:
            self._idle_since.pop(what, None)

    def _has_room(self) -> bool:
        """Whether the disk has room for work; say so, when it has no longer."""
        had_room, disk = self._had_room, Disk.of(self.home.path)
        self._had_room = disk.has_room
        if had_room and not disk.has_room:
            logger.warning("%s", disk.finding)
        return disk.has_room

    def _reconcile(self, at: datetime) -> None:
        self._reconcile_at = at + BUSY_RECONCILE  # also where Prefect does not answer
        if self._is_to_hasten:
            self.api.hasten(now())
            self._is_to_hasten = False
        science = self._science.due(at)
        plans, later = reconcile(self.home, at, self._looked)
        with self.home.read_session() as session:
            self._note_idle("calibrations are due", is_so=bool(plans) and not open_runs(session))
        for plan in plans:
            self._ask_for_calibration(plan, at)
        for plan in without_pictures(self.home, at):
            ask_for_run(self.home, self.api, plan, pictures=True)
        if self._tidied_at is None or not self._tidied_at <= at < self._tidied_at + GRACE:
            self._tidied_at = at
            for line in [*remove_leftovers(self.home, at), *remove_all_passing(self.home, at)]:
                logger.info("%s", line)
        busy = at + (BUSY_RECONCILE if plans else RECONCILE_EVERY)
        self._reconcile_at = min(filter(None, [busy, later, self._science.ask(science, at)]))

    def _refresh_references(self) -> None:
        try:
            refresh_references(self.home)
        except OSError as error:
            logger.warning("reference/ is not up to date: %s", redact(error))

    def _end_runs(self, under_way: Sequence[RunRow], *, ask_of_all: bool) -> bool:
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

    def _end(self, run: RunRow, state: FlowRunState | None) -> None:
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
            with self.home.write_session() as session:
                fail_run(session, run_id=run.id, message=redact(message), now=now())

    def _ask_for_calibration(self, plan: Plan, at: datetime) -> None:
        """Ask for the run of a plan, once a minute at most; where it ended before it began, that attempt has failed."""
        asked = self._asked.get(plan.key)
        if asked is not None:
            state = self.api.state(asked[0])
            if state is not None and state.is_final:
                record_never_started(self.home, plan, flow_run_id=asked[0], state=state)
                del self._asked[plan.key]
                return
            if at - asked[1] < ASK_AGAIN_AFTER:
                return
        flow_run_id = ask_for_run(self.home, self.api, plan)
        self._asked[plan.key] = flow_run_id, at
        logger.info("asked for %s (attempt %d): flow run %s", plan.key, plan.attempt, flow_run_id)


def watch(
    home: Home,
    api_url: str,
    *,
    stop: Event,
    say: Callable[[str], None],
    has_changed: Callable[[], bool] = lambda: False,
) -> None:
    """See files land and ask for the runs that are missing, until told to stop, or the configuration is another one.

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
    has_changed : callable
        Tells whether there is another configuration to be taken up; raises SettingsError where it cannot be, so that
        files are seen and work waits.
    """
    pulse = Pulse(home.path)
    trouble: str | None = None
    told: list[str] = []

    def say_alive() -> None:
        if home.is_there:
            pulse.beat(watcher.health, at=now(), trouble="; ".join(told) or None)

    before = read_heartbeat(home.path)
    watcher = Watcher(
        home.settings.watch,
        write_session=home.write_session,
        read_session=home.read_session,
        host=home.settings.host,
        home=home.path,
        mounts=before.mounts if before else None,
        progress=say_alive,
    )
    watcher.start()
    is_over, looker = Event(), _Looker(has_changed)
    if home.settings.notify.urls:
        Thread(target=keep_telling, args=(home, is_over), name="notices", daemon=True).start()
    try:
        with PrefectApi(api_url, password=password_of(home.path, api_url)) as api:
            dispatcher = Dispatcher(home, api)
            while not stop.is_set() and not (home.is_there and looker.sees_another()):
                say_alive()
                last, trouble = trouble, _work(watcher, dispatcher, looker.mistake)
                told = [*filter(None, [trouble]), *dispatcher.findings]
                if trouble and not last:
                    say(trouble)
                watcher.wait(dispatcher.seconds_to_wait(now()))
        if not stop.is_set():
            with suppress(SQLAlchemyError):
                watcher.scan_all(now())  # what has just landed where nobody looks any more
        elif home.is_there:
            pulse.end(watcher.health, at=now())
    finally:
        is_over.set()
        watcher.stop()


class _Looker:
    """Looks now and then whether there is another configuration."""

    def __init__(self, has_changed: Callable[[], bool]) -> None:
        self._has_changed = has_changed
        self._next = time.monotonic() + LOOK_SECONDS
        self.mistake: str | None = None
        """Why the one that is there cannot be taken up."""

    def sees_another(self) -> bool:
        """Whether there is one to be taken up."""
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + LOOK_SECONDS
        self.mistake = None
        try:
            return self._has_changed()
        except SettingsError as error:
            self.mistake = f"{error}; work waits"
            return False


def _work(watcher: Watcher, dispatcher: Dispatcher, mistake: str | None) -> str | None:
    """Do what there is to do; return what stood in the way, which will not for ever: it is tried again."""
    home = dispatcher.home
    if not home.is_there:
        return words_of_away(home.path)
    keep_ballast(home.path)
    try:
        watcher.tick(now())
        if mistake:  # flows read the configuration as it is now: none of them would come to its end
            return mistake
        dispatcher.tick(now())
    except PrefectUnavailableError as error:
        return redact(error.in_words)
    except SQLAlchemyError as error:
        return redact(f"the database cannot be used, work waits: {words_of_error(home.engine, error)}")
    return None
